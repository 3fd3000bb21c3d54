"""LaTeX becomes blocks, whole paragraphs or none, and says in Markdown what it said in LaTeX."""

from __future__ import annotations

import gzip

import pytest

from vary.data.registry import SOURCES
from vary.markup.blocks import Code, Formula, Heading, Item, Note, Paragraph, Quote, Run, to_markdown
from vary.markup.read_document import read_latex, read_latex_files, read_markdown
from vary.markup.tables import Cell, ruled_table

from ..conftest import printed_by

ARTICLE = r"""
\documentclass{article} % a comment
\newcommand{\R}{\mathbb{R}} \newcommand{\name}[2][old]{\textbf{#2} (#1)} \def\twice#1{#1#1}
\DeclareMathOperator{\rank}{rank} \newtheorem{thm}{Theorem}
\title{On \emph{Pages}} \author{A. Author \and B. Author}
\begin{document}
\maketitle
\begin{abstract}
What is said.
\end{abstract}
\section{First \& last}\label{s}
A na\"ive caf\'e---``quoted'' at 50\% of \$1, $x\in\R$ and \(\rank A\) \cite{a}.
  The \name{word}, a \name[new]{thing},% joined
 \texttt{a\_b} and \verb|%x{|.\footnote{See \textit{there}, $y^2$.}

Para two,\\ broken. {\it Leaning} words.
\begin{itemize}
  \item one \item two
  \begin{enumerate} \item inner \end{enumerate}
\end{itemize}
\begin{enumerate} \item first \item second \end{enumerate}
\begin{description} \item[Key] value \end{description}
\begin{equation} a^2 + b^2 = c^2 \label{e} \end{equation}
\begin{align*} a &= b \\ c &= d \end{align*}
\[ \frac{1}{2} \tag{A} \]
\begin{thm}[Known] All is \twice{so}. \end{thm}
\begin{quote} Said by others. \end{quote}
\begin{lstlisting}[language=Python]
if x % 2:
    print("\\n")
\end{lstlisting}
\begin{table} \caption{Things \& more} \begin{tabular}{|l|r|} \hline a & 1 \\ \hline b\&c & 2 \\ \hline \end{tabular} \end{table}
\begin{figure} \includegraphics{x} \caption{no} \end{figure}
The \unheardof{macro} is here.
\begin{strange} gone \end{strange}
\input{other}
\end{document}
"""  # noqa: E501


def test_an_article() -> None:
    blocks, skipped = read_latex(ARTICLE)
    assert blocks == [
        Heading(1, (Run("On "), Run("Pages", "italic"))),
        Paragraph((Run("A. Author\nB. Author"),)),
        Heading(2, (Run("Abstract"),)),
        Paragraph((Run("What is said."),)),
        Heading(2, (Run("First & last"),)),
        Paragraph((
            Run("A naïve café—“quoted” at 50% of $1, "), Run(r"x\in\mathbb{R}", "math"), Run(" and "),
            Run(r"\operatorname{rank}A", "math"), Run(". The "), Run("word", "bold"), Run(" (old), a "),
            Run("thing", "bold"), Run(" (new),"), Run("a_b", "code"), Run(" and "), Run("%x{", "code"), Run("."),
            Run("1", "note"),
        )),
        Note("1", (Run("See "), Run("there", "italic"), Run(", "), Run("y^{2}", "math"), Run("."))),
        Paragraph((Run("Para two,\nbroken. "), Run("Leaning", "italic"), Run(" words."))),
        Item((Run("one"),)), Item((Run("two"),)), Item((Run("inner"),), "1.", 1),
        Item((Run("first"),), "1."), Item((Run("second"),), "2."),
        Item((Run("Key", "bold"), Run(" value"))),
        Formula("a^{2}+b^{2}=c^{2}", "(1)"),
        Formula(r"\begin{aligned}a&=b\\c&=d\end{aligned}"),
        Formula(r"\frac{1}{2}", "(A)"),
        Paragraph((Run("Theorem 1", "bold"), Run(" (Known). All is soso."))),
        Quote((Run("Said by others."),)),
        Code('if x % 2:\n    print("\\\\n")', "python"),
        ruled_table([("a", "1"), ("b&c", "2")], "lr", "grid", "Table 1: Things & more"),
    ]  # fmt: skip
    assert skipped == {
        "\\cite": 1, "\\label": 2, "figure": 1, "paragraph with \\unheardof": 1, "\\begin{strange}": 1, "\\input": 1,
    }  # fmt: skip


def test_markdown_says_the_same() -> None:
    """Through Markdown and back."""
    blocks, _ = read_latex(ARTICLE)
    again, skipped = read_markdown(to_markdown(blocks))
    assert again == blocks
    assert not skipped


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\'e\`a\^{o}\~n\c{c}\v s\H{o}\.z\r{u} \ss\ae \o\ \L", "éàôñçšőżů ßæø Ł"),
        (r"a--b, c---d, `x' ``y'' ?`z", "a–b, c—d, ‘x’ “y” ¿z"),
        (r"\LaTeX\ and \TeX{} of \copyright~us\ldots", "LaTeX and TeX of © us…"),
        (r"see~\cite[p.~1]{x}, \ref{y} and \noindent\small so\vspace*{1em}.", "see, and so."),
        (r"\textsc{Small} \underline{line} \mbox{box} {\sffamily face}", "Small line box face"),
        ("one % cut\n\n", "one"),
        ("中文\n换行 word\nnext", "中文换行 word next"),
        (r"\{\#\_\}\textbackslash", "{#_}\\"),
    ],
)
def test_plain_text(latex, text) -> None:
    assert read_latex(latex)[0] == [Paragraph((Run(text),))]


@pytest.mark.parametrize(
    ("latex", "reason"),
    [
        (r"An \odd{thing}.", r"paragraph with \odd"),
        (r"Deep \textbf{in \emph{an \odd{thing}}}.", r"paragraph with \odd"),
        (r"Noted.\footnote{An \odd{thing}.}", r"paragraph with \odd"),
        (r"A $\oddity x$.", "paragraph with a formula: unknown command '\\\\oddity'"),
        (r"a & b", "paragraph with '&'"),
        (r"An $x here.", "paragraph with '$' without its end"),
        (r"A {group here.", "paragraph with '{' without its end"),
        (r"\'{bcd} x", "paragraph with an accent on 'b' which Unicode does not have"),
        (r"\section{An \odd{thing}}", r"heading with \odd"),
        (r"\begin{tabular}{l} $x$ \end{tabular}", "table with formulas"),
        (r"\begin{tabular}{l} a & b \end{tabular}", "table that pandoc cannot parse"),
        (r"\begin{equation} \oddity \end{equation}", "formula: unknown command '\\\\oddity'"),
        (r"\begin{odd} x \end{odd}", r"\begin{odd}"),
        (r"\newcommand{\me}{\me\me} A \me", r"paragraph with \me"),
        (r"\begin{center} x", r"\begin{center} without its end"),
    ],
)
def test_nothing_is_half_read(latex, reason) -> None:
    """What holds something unknown is left out whole and named; its neighbours stay."""
    blocks, skipped = read_latex(f"Before.\n\n{latex}\n\nBehind." if "without" not in reason else f"Before.\n\n{latex}")
    assert skipped[reason] == 1
    rest = {"Before.", "Behind."} | ({"x"} if latex.startswith(r"\begin{center}") else set())
    assert {run.text for block in blocks for run in block.runs} <= rest
    assert blocks[0] == Paragraph((Run("Before."),))


def test_a_lost_item_keeps_its_number() -> None:
    blocks, _ = read_latex(r"\begin{enumerate} \item a \item \odd{x} \item c \end{enumerate} d")
    assert blocks == [Item((Run("a"),), "1."), Item((Run("c"),), "3."), Paragraph((Run("d"),))]


def test_macros_that_grow_come_to_an_end() -> None:
    bomb = "".join(
        rf"\newcommand{{\{a}}}{{\{b}\{b}\{b}\{b}}}" for a, b in zip("abcdefghijklm", "bcdefghijklmn", strict=True)
    )
    with pytest.raises(ValueError, match=r"pandoc did not end within 0\.5 s"):
        read_latex(f"{bomb} Before.\n\n\\a x", timeout_s=0.5)


def test_merged_cells_and_styles() -> None:
    latex = r"""\begin{tabular}{|l|rc|} \hline \textbf{Top} & \multicolumn{2}{c|}{wide \& \emph{so}} \\ \hline
        \multirow{2}{*}{high} & 1 & x \\ & 2 & y \\ \hline \end{tabular}"""
    blocks, _ = read_latex(latex)
    rows = [(Cell("Top", bold=True), Cell("wide & so", columns=2)), (Cell("high", rows=2), "1", "x"), ("2", "y")]
    assert blocks == [ruled_table(rows, "lrc", "grid")]
    assert blocks[0].rules[2].spans == ((1, 3),), "no line crosses the merged cell"
    assert read_markdown(to_markdown(blocks))[0] == blocks
    assert read_latex(r"\begin{tabular}{ll} a & b \\ \hline c & d \end{tabular}")[0] == [
        ruled_table([("a", "b"), ("c", "d")], "ll", "book")
    ]


def test_text_inside_formulas_stays_text() -> None:
    blocks, _ = read_latex(r"\global\long\def\iff{\mbox{ iff }} Now $x\iff y \hbox{ or } z$.")
    assert blocks == [Paragraph((Run("Now "), Run(r"x\text{ iff }y\text{ or }z", "math"), Run(".")))]


def test_the_date_is_not_that_of_the_run() -> None:
    blocks, skipped = read_latex(r"Printed \today{} here.")
    assert blocks == [Paragraph((Run("Printed here."),))]
    assert skipped == {"\\printdate": 1}


def test_files_and_folders(tmp_path) -> None:
    (tmp_path / "a.tex.gz").write_bytes(gzip.compress(ARTICLE.encode()))
    (tmp_path / "b.tex").write_text(r"\def\x{y} No document.")
    (tmp_path / "c.tex").write_bytes(b"\\begin{document}\xff\\end{document}")
    latin = "\\usepackage[latin1]{inputenc}\\begin{document}né\\end{document}"
    (tmp_path / "d.ltx").write_bytes(latin.encode("latin-1"))
    documents, left_out = read_latex_files([tmp_path])
    assert documents == [read_latex(ARTICLE)[0], [Paragraph((Run("né"),))]]
    assert left_out["file without a document"] == left_out["file that is not UTF-8"] == left_out["figure"] == 1
    with pytest.raises(ValueError, match=r"c\.tex: 'utf-8' codec"):
        read_latex_files([tmp_path / "c.tex"])
    (tmp_path / "e.tex").write_text("% nothing")
    with pytest.raises(ValueError, match=r"e\.tex: no text to typeset in LaTeX"):
        read_latex_files([tmp_path / "e.tex"])


def test_documents_are_typeset(tmp_path) -> None:
    (tmp_path / "a.tex").write_text(ARTICLE)
    source = SOURCES["document"]({"tex": str(tmp_path / "a.tex"), "pages": 2, "templates": ["article"]}, 1)
    targets = source.sample(0).target + source.sample(1).target
    assert source.left_out["paragraph with \\unheardof"] == 1
    for part in (r"\[ a^{2}+b^{2}=c^{2} \tag{1} \]", "**Theorem 1** (Known). All is soso.", "```python", "> Said"):
        assert part in targets
    assert r"*there*, \( y^{2} \)." in targets, "a footnote's formula"
    assert not source.refused


def test_text_layers_need_no_torch() -> None:
    program = "import sys, vary.data.pdfs.source; print('torch' in sys.modules)"
    assert printed_by(program).strip() == "False"
