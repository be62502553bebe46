"""A run's report: one self-contained HTML page, and its headline as plain text.

A :class:`~plaudit.run.report.sections.Report` is a title, headline tiles and a list of sections. One template, one
stylesheet and one writer (:mod:`~plaudit.run.report.page`) show it, and :mod:`~plaudit.run.report.text` prints its
headline. Each domain fills the sections from what was measured: :mod:`~plaudit.run.report.control` and
:mod:`~plaudit.run.report.language`.

The two domain modules stand here and not in ``run/control`` and ``run/language``, because they only draw: they need
neither environments nor models, and what holds for one page (untrusted text, themes, ids, missing numbers) holds for
the other. ``run/control/look.py`` and ``run/language/evaluate.py`` measure. The two do not import each other, and this
package imports neither, so that a report of one domain does not load the other.
"""
