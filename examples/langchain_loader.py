"""Load documents into LangChain: `pip install vary langchain-core`, then `VaryLoader("paper.pdf").load()`."""

from collections.abc import Iterator
from dataclasses import dataclass

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

import vary


@dataclass
class VaryLoader(BaseLoader):
    """Loads the chunks of a PDF or an image."""

    path: str
    max_chars: int = 2000

    def lazy_load(self) -> Iterator[Document]:
        """Yield the chunks. The metadata of each names the file, its pages, headings and boxes."""
        for chunk in vary.read(self.path).chunks(self.max_chars):
            where = {"source": self.path, "pages": chunk.pages, "headings": chunk.headings, "boxes": chunk.boxes}
            yield Document(page_content=chunk.text, metadata=where)
