"""`plaudit audit`: where RLHF went wrong on a user's own run, how sure that is, and what would help.

A measure is one file in ``control/``, ``language/`` or ``people/`` with a ``MEASURE``
(:mod:`plaudit.audits.measure` says what it needs). A new file there is a new measure; nothing else changes. A measure
looks at a :class:`~plaudit.audits.subject.Subject` and makes :class:`~plaudit.audits.finding.Finding` values, which
:mod:`~plaudit.audits.audit` writes to audit.json and :mod:`~plaudit.audits.page` shows.
"""
