"""List the names of LaTeX mathematics: canonical name, Typst form and arguments of each command.

These are plain dicts; a new command is one entry. In Typst a character is written as itself, and its Unicode math class
gives its spacing. New Computer Modern Math, which Typst contains, has all of them (tests/markup/test_math.py).
"""

from __future__ import annotations

from dataclasses import dataclass


def _pairs(text: str, prefix: str = "\\") -> dict[str, str]:
    """Return a dict of `name value name value ...`; names get a backslash."""
    words = text.split()
    return {prefix + name: value for name, value in zip(words[::2], words[1::2], strict=True)}


def _names(text: str, prefix: str = "\\") -> list[str]:
    """Return a set of `name name ...`; names get a backslash."""
    return [prefix + name for name in text.split()]


# canonical name or character -> Typst. Relations, operators and delimiters are spaced by their character.
SYMBOLS = {c: c for c in "+=,;:.!?/()[]|<>"} | {"-": "−", "*": "∗", "\\{": "{", "\\}": "}", "\\|": "‖"}
SYMBOLS |= {"\\" + c: c for c in "$%&#_"} | {"\\bmod": 'class("binary", "mod")', "\\backslash": "\\"}
SYMBOLS |= _pairs("""
alpha α beta β gamma γ delta δ epsilon ϵ varepsilon ε zeta ζ eta η theta θ vartheta ϑ iota ι kappa κ varkappa ϰ
lambda λ mu μ nu ν xi ξ pi π varpi ϖ rho ρ varrho ϱ sigma σ varsigma ς tau τ upsilon υ phi ϕ varphi φ chi χ psi ψ
omega ω Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ Psi Ψ Omega Ω digamma ϝ
infty ∞ partial ∂ nabla ∇ ell ℓ hbar ℏ imath ı jmath ȷ Re ℜ Im ℑ wp ℘ aleph ℵ beth ℶ gimel ℷ emptyset ∅
forall ∀ exists ∃ nexists ∄ neg ¬ top ⊤ bot ⊥ angle ∠ measuredangle ∡ triangle △ square □ blacksquare ■ lozenge ◊
diamondsuit ♢ heartsuit ♡ clubsuit ♣ spadesuit ♠ sharp ♯ flat ♭ natural ♮ prime ′ surd √ S § P ¶ dagger † ddagger ‡
copyright © pounds £ checkmark ✓ complement ∁ mho ℧ eth ð therefore ∴ because ∵ circ ∘ bullet ∙ star ⋆
pm ± mp ∓ times × div ÷ cdot ⋅ cap ∩ cup ∪ uplus ⊎ sqcap ⊓ sqcup ⊔ vee ∨ wedge ∧ setminus ∖ wr ≀ amalg ⨿
diamond ⋄ bigtriangleup △ bigtriangledown ▽ triangleleft ◁ triangleright ▷ oplus ⊕ ominus ⊖ otimes ⊗ oslash ⊘ odot ⊙
boxplus ⊞ boxtimes ⊠ boxminus ⊟ boxdot ⊡ ltimes ⋉ rtimes ⋊ barwedge ⊼ veebar ⊻ curlyvee ⋎ curlywedge ⋏ dotplus ∔
le ≤ ge ≥ ne ≠ ll ≪ gg ≫ lll ⋘ ggg ⋙ equiv ≡ sim ∼ simeq ≃ approx ≈ cong ≅ propto ∝ asymp ≍ doteq ≐ approxeq ≊
prec ≺ succ ≻ preceq ⪯ succeq ⪰ leqslant ⩽ geqslant ⩾ lesssim ≲ gtrsim ≳ lessgtr ≶
gtrless ≷ triangleq ≜ leqq ≦ geqq ≧ coloneqq ≔
subset ⊂ supset ⊃ subseteq ⊆ supseteq ⊇ subsetneq ⊊ supsetneq ⊋ sqsubseteq ⊑ sqsupseteq ⊒ sqsubset ⊏ sqsupset ⊐
in ∈ ni ∋ notin ∉ vdash ⊢ dashv ⊣ models ⊨ Vdash ⊩ Vvdash ⊪ perp ⟂ mid ∣ nmid ∤ parallel ∥ nparallel ∦ bowtie ⋈
smile ⌣ frown ⌢ trianglelefteq ⊴ trianglerighteq ⊵ lhd ⊲ rhd ⊳ between ≬ pitchfork ⋔ multimap ⊸ backsim ∽
nless ≮ ngtr ≯ nleq ≰ ngeq ≱ nsubseteq ⊈ nsupseteq ⊉ nsim ≁ ncong ≇ nprec ⊀ nsucc ⊁ nvdash ⊬ nvDash ⊭
to → gets ← leftrightarrow ↔ Rightarrow ⇒ Leftarrow ⇐ Leftrightarrow ⇔ mapsto ↦ longmapsto ⟼ longrightarrow ⟶
longleftarrow ⟵ longleftrightarrow ⟷ implies ⟹ impliedby ⟸ iff ⟺ uparrow ↑ downarrow ↓ updownarrow ↕ Uparrow ⇑
Downarrow ⇓ Updownarrow ⇕ nearrow ↗ searrow ↘ swarrow ↙ nwarrow ↖ hookrightarrow ↪ hookleftarrow ↩ rightharpoonup ⇀
rightharpoondown ⇁ leftharpoonup ↼ leftharpoondown ↽ rightleftharpoons ⇌ leftrightharpoons ⇋ rightrightarrows ⇉
twoheadrightarrow ↠ rightarrowtail ↣ leadsto ⇝ rightsquigarrow ⇝ curvearrowright ↷ circlearrowleft ↺ upharpoonright ↾
nrightarrow ↛ nRightarrow ⇏ nleftarrow ↚ restriction ↾
ldots … cdots ⋯ vdots ⋮ ddots ⋱ langle ⟨ rangle ⟩ lfloor ⌊ rfloor ⌋ lceil ⌈ rceil ⌉ llbracket ⟦ rrbracket ⟧
ulcorner ⌜ urcorner ⌝ llcorner ⌞ lrcorner ⌟
sum ∑ prod ∏ coprod ∐ bigcup ⋃ bigcap ⋂ bigsqcup ⨆ biguplus ⨄ bigvee ⋁ bigwedge ⋀ bigoplus ⨁ bigotimes ⨂ bigodot ⨀
int ∫ iint ∬ iiint ∭ oint ∮ oiint ∯
""")
SYMBOLS["\\colon"] = 'class("punctuation", \\:)'
BIG_OPERATORS = frozenset(
    _names("""
sum prod coprod bigcup bigcap bigsqcup biguplus bigvee bigwedge bigoplus bigotimes bigodot int iint iiint oint oiint
""")
)
INTEGRALS = frozenset({"\\int", "\\iint", "\\iiint", "\\oint", "\\oiint"})

# other spellings -> the canonical one
SAME = {"\\" + name: "\\" + value for name, value in _pairs("""
leq le geq ge neq ne rightarrow to leftarrow gets land wedge lor vee lnot neg owns ni Longrightarrow implies
Longleftarrow impliedby Longleftrightarrow iff varnothing emptyset smallsetminus setminus Vert |
lVert | rVert | thinspace , medspace : thickspace ; negthinspace ! lbrace { rbrace } dotsc ldots dotso ldots dotsb cdots
dotsm cdots dotsi cdots hslash hbar bm boldsymbol pmb boldsymbol dag dagger ddag ddagger
mathellipsis ldots vartriangle triangle Box square thetasym vartheta
Bbb mathbb textnormal text textrm text mbox text hbox text textup text emph textit cfrac dfrac
stackrel overset  vartriangleleft lhd vartriangleright rhd unlhd trianglelefteq unrhd trianglerighteq
nshortmid nmid shortmid mid thicksim sim thickapprox approx varpropto propto vDash models
bold mathbf mathbold boldsymbol coloneq coloneqq
""", "").items() if name != value}  # fmt: skip
SAME |= {"\\vert": "|", "\\lvert": "|", "\\rvert": "|", "\\lbrack": "[", "\\rbrack": "]", "\\lt": "<", "\\gt": ">"}
SAME |= {"\\ast": "*", "\\>": "\\:", "~": "\\ ", "\\space": "\\ ", "\\nobreakspace": "\\ ", "\\\n": "\\ "}
# the characters themselves, and look-alikes that people type
SAME |= {c: name for name, c in reversed(SYMBOLS.items()) if len(c) == 1 and not c.isascii()}
SAME |= {"–": "-", "·": "\\cdot", "∆": "\\Delta", "µ": "\\mu", "∥": "\\|", "・": "\\cdot"}

# after \not
NEGATED = {"=": "\\ne", "<": "\\nless", ">": "\\ngtr", "|": "\\nmid"} | {
    "\\" + name: "\\" + value for name, value in _pairs("""
in notin le nleq ge ngeq subseteq nsubseteq supseteq nsupseteq sim nsim cong ncong prec nprec succ nsucc mid nmid
parallel nparallel vdash nvdash models nvDash exists nexists to nrightarrow gets nleftarrow Rightarrow nRightarrow
""", "").items()}  # fmt: skip
_STRUCK = _pairs("subset ⊄ supset ⊅ equiv ≢ approx ≉ simeq ≄ ni ∌ Leftarrow ⇍")  # they have no name of their own
NEGATED |= {name: "\\not" + name for name in _STRUCK}
SYMBOLS |= {"\\not" + name: c for name, c in _STRUCK.items()}

SPACES = {"\\,": "thin", "\\:": "med", "\\;": "thick", "\\!": "#h(-0.1667em)", "\\ ": "space"}
SPACES |= {"\\quad": "quad", "\\qquad": "wide", "\\enspace": "#h(0.5em)"}

# named operators -> how they are printed, and whether limits stand below and above in a display
OPERATORS = {name: (name[1:], False) for name in _names("""
arccos arcsin arctan arg cos cosh cot coth csc deg dim exp hom ker lg ln log sec sin sinh tan tanh
""")}  # fmt: skip
OPERATORS |= {name: (name[1:], True) for name in _names("det gcd inf lim max min Pr sup")}
OPERATORS |= {"\\limsup": ("lim\u2009sup", True), "\\liminf": ("lim\u2009inf", True)}


@dataclass(frozen=True)
class Call:
    """A command with arguments. typst: its template.

    font: it only changes letters. ordinary: it is spaced like a letter. limits: its scripts are above and below it.
    smaller: its arguments are set in the next smaller style.
    """

    typst: str
    count: int = 1
    font: bool = False
    ordinary: bool = True
    limits: bool = False
    smaller: bool = False


CALLS = {
    "\\frac": Call("frac({}, {})", 2, smaller=True),
    "\\dfrac": Call("display(frac({}, {}))", 2, smaller=True),
    "\\tfrac": Call("inline(frac({}, {}))", 2, smaller=True),
    "\\binom": Call("binom({}, {})", 2, smaller=True),
    "\\dbinom": Call("display(binom({}, {}))", 2, smaller=True),
    "\\tbinom": Call("inline(binom({}, {}))", 2, smaller=True),
    "\\sqrt": Call("sqrt({})"),
    "\\root": Call("root({}, {})", 2),  # \sqrt[n]{x}
    "\\overset": Call("limits({1})^({0})", 2, ordinary=False),
    "\\underset": Call("limits({1})_({0})", 2, ordinary=False),
    "\\overbrace": Call("overbrace({})", limits=True, ordinary=False),
    "\\underbrace": Call("underbrace({})", limits=True, ordinary=False),
    "\\overline": Call("overline({})"),
    "\\underline": Call("underline({})"),
    "\\cancel": Call("cancel({})"),
    "\\pmod": Call('quad\\("mod"#h(0.333em){}\\)', ordinary=False),
    "\\mod": Call('quad"mod"#h(0.333em){}', ordinary=False),
    "\\mathrel": Call('class("relation", {})', ordinary=False),
    "\\mathbin": Call('class("binary", {})', ordinary=False),
    "\\mathord": Call('class("normal", {})'),
    "\\mathopen": Call('class("opening", {})', ordinary=False),
    "\\mathclose": Call('class("closing", {})', ordinary=False),
    "\\mathpunct": Call('class("punctuation", {})', ordinary=False),
    "\\xrightarrow": Call("limits(stretch(→))^({})", ordinary=False),
    "\\xleftarrow": Call("limits(stretch(←))^({})", ordinary=False),
}
# accents that keep their size, and those that grow with what is below; the numbers are Unicode's combining marks
CALLS |= {
    name: Call(f"accent({{}}, \\u{{{{{mark}}}}}, size: #0pt)")
    for name, mark in _pairs("""
hat 302 tilde 303 bar 304 vec 20d7 dot 307 ddot 308 dddot 20db check 30c breve 306 acute 301 grave 300 mathring 30a
""").items()
}
CALLS |= {
    name: Call(f"accent({{}}, \\u{{{{{mark}}}}})")
    for name, mark in _pairs("""
widehat 302 widetilde 303 overrightarrow 20d7 overleftarrow 20d6 overleftrightarrow 20e1
""").items()
}
CALLS |= {
    "\\" + name: Call(template, font=True)
    for name, template in {
        "mathrm": "upright({})",
        "mathbf": "bold(upright({}))",
        "boldsymbol": "bold({})",
        "mathit": "italic({})",
        "mathbb": "bb({})",
        "mathcal": "cal({})",
        "mathscr": "scr({})",
        "mathfrak": "frak({})",
        "mathsf": "sans(upright({}))",
        "mathtt": "mono({})",
    }.items()
}

# old declarations, for the rest of the braces
DECLARED = _pairs(r"rm \mathrm bf \mathbf it \mathit cal \mathcal sf \mathsf tt \mathtt frak \mathfrak")
DECLARED |= {"\\bfseries": "\\mathbf", "\\mit": "\\mathit", "\\boldmath": "\\boldsymbol"}
TEXTS = {
    "\\text": "{}",
    "\\textbf": "upright(bold({}))",
    "\\textit": "italic({})",
    "\\textsf": "sans({})",
    "\\texttt": "mono({})",
}

DELIMITERS = frozenset(["(", ")", "[", "]", "\\{", "\\}", "|", "\\|", "."])
DELIMITERS |= set(_names("langle rangle lfloor rfloor lceil rceil llbracket rrbracket"))
# height of the delimiter and its class; heights as in plain TeX, 8.5 11.5 14.5 17.5 pt at 10 pt and their depth
SIZES = {
    f"\\{size}{side}": (height, kind)
    for size, height in (("big", "1.2em"), ("Big", "1.8em"), ("bigg", "2.4em"), ("Bigg", "3em"))
    for side, kind in (("", ""), ("l", "opening"), ("r", "closing"), ("m", "relation"))
}

# without effect on the picture, with the number of their arguments
DROPPED = {
    "\\label": 1,
    "\\color": 1,
    "\\nonumber": 0,
    "\\notag": 0,
    "\\relax": 0,
    "\\displaylimits": 0,
    "\\protect": 0,
}
DROPPED |= {"\\allowbreak": 0, "\\/": 0, "\\nobreak": 0, "\\vspace": 1}

# environment -> its canonical name; "" is dropped with its \begin and \end
ENVIRONMENTS = {n: n for n in _names("matrix pmatrix bmatrix Bmatrix vmatrix Vmatrix smallmatrix array cases", "")}
ENVIRONMENTS |= dict.fromkeys(_names("aligned align align* split eqnarray eqnarray*", ""), "aligned")
ENVIRONMENTS |= dict.fromkeys(_names("gathered gather gather*", ""), "gathered")
ENVIRONMENTS |= dict.fromkeys(_names("equation equation* displaymath math", ""), "")
TABLES = {
    "matrix": "mat(delim: #none, {})",
    "pmatrix": 'mat(delim: "(", {})',
    "bmatrix": 'mat(delim: "[", {})',
    "Bmatrix": 'mat(delim: "{{", {})',
    "vmatrix": 'mat(delim: "|", {})',
    "Vmatrix": 'mat(delim: "‖", {})',
    "smallmatrix": "inline(mat(delim: #none, gap: #0.3em, {}))",
    "cases": "lr(\\{{mat(delim: #none, align: #left, column-gap: #1em, {}))",
    "aligned": "mat(delim: #none, row-gap: #0.65em, {})",
    "gathered": "mat(delim: #none, row-gap: #0.65em, {})",
}
