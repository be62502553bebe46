"""Text that tries to become more than text. What runs sets ``window.__xss``; what loads asks another host."""

from __future__ import annotations

from plaudit.server.names import clean_name
from plaudit.types import PlauditError

X = "window.__xss=1"
AWAY = "//elsewhere.example"
LONG = "<b onclick=window.__xss=1>" + "Wordwithoutanend" * 250

CORPUS: tuple[str, ...] = (
    # Scripts, and what closes our own block of JSON
    f"<script>{X}</script>",
    f"</script><script>{X}</script>",
    f'"}}</script><script>{X}</script>{{"',
    f"<SCRIPT SRC={AWAY}/x.js></SCRIPT>",
    f"<scr<script>ipt>{X}</scr</script>ipt>",
    f"</template><script>{X}</script>",
    f"</textarea><script>{X}</script>",
    f"</title></style><script>{X}</script>",
    f"<!--<script>-->{X}//</script>",
    f"<noscript><p title='</noscript><img src=x onerror={X}>'>",
    # Handlers of events
    f"<img src=x onerror={X}>",
    f"<img/src='x'/onerror='{X}'>",
    f"<body onload={X}>",
    f"<details open ontoggle={X}>",
    f"<input autofocus onfocus={X}>",
    f"<video><source onerror={X}></video>",
    f"<audio src=x onerror={X}>",
    f"<marquee onstart={X}>",
    f"<p onanimationstart={X} style=animation-name:blink>x</p>",
    f"<button popovertarget=p>x</button><p popover id=p onbeforetoggle={X}>",
    f'" autofocus onfocus="{X}',
    f"' onmouseover='{X}",
    f"` onpointerenter=`{X}",
    # Addresses that run
    f"[x](javascript:{X})",
    f"[x](JaVa&#115;cript:{X})",
    f"[x](java&Tab;script:{X})",
    f"<javascript:{X}>",
    f"[x]: javascript:{X}\n\n[x]",
    f"<a href=' &#1; javascript:{X}'>x</a>",
    f"[x](data:text/html,<script>{X}</script>)",
    "![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9IndpbmRvdy5fX3hzcz0xIi8+)",
    f"<iframe src=javascript:{X}></iframe>",
    f"<iframe srcdoc='<script>parent.__xss=1</script>{X}'></iframe>",
    f"<object data='data:text/html,<script>{X}</script>'></object>",
    f"<embed src=javascript:{X}>",
    f"<form action=javascript:{X}><button formaction=javascript:{X}>x</button></form>",
    f"<base href={AWAY}/>",
    f"<meta http-equiv=refresh content='0;url=javascript:{X}'>",
    # SVG, MathML, and markup that changes when it is parsed again
    f"<svg onload={X}>",
    f"<svg><animate onbegin={X} attributeName=x dur=1s>",
    f"<svg><a><animate attributeName=href values=javascript:{X} /><text>x</text></a></svg>",
    f"<svg><use href='data:image/svg+xml,<svg id=x onload={X}></svg>#x'></use></svg>",
    f"<svg><style><img src=x onerror={X}></style></svg>",
    f"<svg></p><style><a id='</style><img src=1 onerror={X}>'>",
    f"<math><mtext></form><form><mglyph><style></math><img src onerror={X}>",
    f"<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror={X}&gt;'>",
    f"<math href=javascript:{X}>x</math>",
    f"<form><math><mtext></form><form><mglyph><svg><mtext><style><path id='</style><img onerror={X} src>'>",
    f"<select><template><style><!--</style><a rel='--><img src onerror={X}>'>",
    # Attributes that scripts of ours read
    "<div hx-get=/api/me hx-trigger=load hx-on::load=window.__xss=1>x</div>",
    "<div data-hx-post=/api/work/undo data-hx-trigger=load data-method=DELETE data-path=/api/session>x</div>",
    f"<a data-undo data-send data-vote=left data-withdraw=1 id=setup name=setup href=javascript:{X}>x</a>",
    f"<form id=told data-method=DELETE data-path=/api/session><button autofocus onclick={X}>x</button></form>",
    # Style
    f"<style>@import url({AWAY}/x.css);*{{background:url({AWAY}/y)}}</style>",
    f"<p style=\"background:url('{AWAY}/z');position:fixed;inset:0\">x</p>",
    f"<link rel=stylesheet href={AWAY}/x.css>",
    # Templates and Markdown
    "{{ 7 * 7 }}{% include 'base.html' %}{{ config.secret }}",
    "${window.__xss=1}<%= window.__xss=1 %>#{window.__xss=1}[[window.__xss=1]]",
    f'[x](https://a.example/"onmouseover="{X})',
    f"```html\n<script>{X}</script>\n```\n<img src=x onerror={X}>",
    f"![x](x\"onerror=\"{X}) <https://a.example/'onclick='{X}>",
    f"| a |\n| - |\n| <img src=x onerror={X}> [x](javascript:{X}) |",
    # Characters
    f"\u202e\u2066<script>{X}</script>\u2069 gnp.exe \u200b\u200d\ufeff\u2028\u2029",
    f"\uff1cscript\uff1e{X}\uff1c/script\uff1e <\u0131mg src=x onerror={X}>",
    f"Z\u0351\u036b\u0343\u0321a\u0356\u0324l\u0321g\u0489o<img src=x onerror={X}>\U0001f41f",
    LONG,
)
ALL = "\n\n".join(CORPUS)


def names() -> list[str]:
    """What of the corpus may be somebody's name, and what is made to be one."""
    made = (
        f"<img src=x onerror={X}>",
        f'"><svg onload={X}>',
        f"' autofocus onfocus={X} x='",
        "{{7*7}}${7*7}",
        f"<iframe srcdoc=x onload={X}>",
        "W" * 64,
        "__proto__",
    )
    found = []
    for each in dict.fromkeys((*made, *CORPUS)):
        try:
            found.append(clean_name(each))
        except PlauditError:
            continue
    return found


# Looks at every element of a page: what is there that the page's own templates and scripts did not put there?
LOOK = r"""() => {
  const own = "html head title meta link script body a header svg use div nav button main p h1 h2 h3 section form "
    + "input label select option textarea fieldset legend ul ol li dl dt dd table caption thead tbody tfoot tr th td "
    + "noscript template span strong em small code pre kbd progress footer article details summary canvas output q "
    + "mark ins del time dialog figure figcaption path bdi";
  const text = "a blockquote br code del em hr li ol p pre s strong ul h1 h2 h3 h4 h5 h6 table tbody td th thead tr";
  const [OWN, TEXT] = [new Set(own.split(" ")), new Set(text.split(" "))];
  const bad = [];
  const see = (root) => {
    for (const element of root.querySelectorAll("*")) {
      const name = element.localName;
      const prose = element.parentElement?.closest(".prose");
      const say = (what) => bad.push(`${what} in ${element.outerHTML.slice(0, 160)}`);
      if (!(prose ? TEXT : OWN).has(name)) say(`element ${name}`);
      const loads = element.getAttribute("src") ?? (name === "link" ? element.getAttribute("href") : null);
      if (loads !== null && !loads.startsWith("/static/")) say("a load");
      if (name === "script" && loads === null && element.type !== "application/json") say("inline script");
      for (const { name: attribute, value } of element.attributes) {
        if (/^on|^srcdoc$|formaction|^action$|^ping$|popover/i.test(attribute)) {
          if (attribute !== "action" || !value.startsWith("/api/export/")) say(`attribute ${attribute}`);
        }
        if (/^(data-)?hx-/.test(attribute) && !element.matches("#open, .more > a")) say(`attribute ${attribute}`);
        if (attribute === "style" && !element.matches(".caret, .track span")) say("style");
        if (/href|src/.test(attribute) && !/^(\/(?!\/)|#|\?|https?:)/.test(value)) say(`address ${value}`);
        if (prose && !["href", "rel", "target", "start"].includes(attribute)) say(`attribute ${attribute}`);
      }
      if (name === "template") see(element.content);
    }
  };
  see(document);
  if (window.__xss !== undefined) bad.push("it ran");
  return bad;
}"""
