"""Load documents into LlamaIndex: `pip install vary llama-index-core`, then `VaryReader().load_data("paper.pdf")`."""

from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import Document

import vary


class VaryReader(BaseReader):
    """Loads the chunks of PDFs and images."""

    def load_data(self, path: str, max_chars: int = 2000) -> list[Document]:
        """Return the chunks of a file. The metadata of each names the file, its pages, headings and boxes."""
        unseen = {"excluded_embed_metadata_keys": ["boxes"], "excluded_llm_metadata_keys": ["boxes"]}  # not for models
        return [
            Document(
                text=c.text,
                metadata={"source": path, "pages": c.pages, "headings": c.headings, "boxes": c.boxes},
                **unseen,
            )
            for c in vary.read(path).chunks(max_chars)
        ]
