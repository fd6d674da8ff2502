"""Strings that act where they are not expected to: on terminals, in rich's markup, Markdown, HTML and YAML."""

HOSTILE = (
    "\x1b[31mred\x1b[0m",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1b]8;;https://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "\x9b2J\x90q\x9d0;t\x9c",
    "bell\x07 back\x08\x08 return\rover \x7f",
    "\u202egnp.exe\u2066a\u2069\u200e\u061c",
    "zero\u200bwidth\u2028line\u2029paragraph",
    "half \ud800 a pair",
    "[/INST] [bold]b[/bold] [link=https://evil.example]x[/link] :warning:",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "<!-- --> &lt; &amp; ]]> <![CDATA[",
    "[here](https://evil.example) ![i](https://evil.example/i.png) <https://evil.example>",
    "*a* **b** _c_ `d` ~~e~~ $f$ | g | \\",
    "``` x",
    "# head\n\n- item\n\n---\n\n```\n\n> quote",
    "1. one\n1) two",
    "- a: {b: !!python/object/apply:os.system [x]}\n...\n---\n",
    "www.evil.example https://evil.example me@evil.example",
    "\"><svg onload=alert(1)> ' onclick=x",
)
PLAIN = "Ordinary: naïve 日本語 👩‍💻 🏳️‍🌈 ½ – “quoted” a_b (c) [d]\n\tnext"
