"""One training run, from files to files: in one process, or one per GPU; it goes on where a killed one stopped."""

import contextlib
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch
import torch.distributed as dist
from safetensors import safe_open
from torch import Tensor

from vlmscope.errors import VlmscopeError
from vlmscope.models.load import Loaded, load
from vlmscope.multimodal_sae.coder import checkpoint
from vlmscope.multimodal_sae.coder.sae import Config, SparseCoder
from vlmscope.multimodal_sae.train import states
from vlmscope.multimodal_sae.train.buffer import Buffer, Stream
from vlmscope.multimodal_sae.train.job import Job
from vlmscope.multimodal_sae.train.trainer import Recipe, Record, Trainer
from vlmscope.session import prepare_torch
from vlmscope.store import files, tables, tensors

log = logging.getLogger(__name__)

# What a training log has; means over the windows since the row before.
LOG = {
    "step": pl.Int64,
    "tokens": pl.Int64,
    "lr": pl.Float64,
    "fvu": pl.Float64,
    "aux": pl.Float64,
    "multi": pl.Float64,
    "l0": pl.Float64,
    "dead": pl.Float64,
    "tokens_per_s": pl.Float64,
}
# Columns that are means; the others are those of the last window.
MEANS = ("fvu", "aux", "multi", "l0")
RECIPE = ("steps", "rate", "warmup", "sparsity_weight", "dead_after", "accumulate", "parts", "clip")
LATEST = "latest.json"


def processes(device: str, gpus: int) -> int:
    """One per GPU where there are several."""
    return gpus if device == "auto" else 1


def make(job: Job, weights: str, table: str, processes: int = 1, device: str = "cpu") -> pl.DataFrame:
    """Train, write the folder of the autoencoder and the log, which is handed back.

    weights     sae.safetensors in that folder
    processes   one per GPU where there are several; each takes its share of the data
    """
    folder = str(Path(weights).parent)
    if processes == 1:
        _work(0, 1, job, folder, table, device)
    else:
        # A file to meet at: no port has to be free.
        meeting = Path(job.state).resolve() / "meeting"
        meeting.parent.mkdir(parents=True, exist_ok=True)
        meeting.unlink(missing_ok=True)
        given = (processes, str(meeting), job, folder, table, device)
        torch.multiprocessing.spawn(_join, args=given, nprocs=processes, join=True)
    return tables.read(table, LOG)


def _join(place: int, world: int, meeting: str, job: Job, folder: str, table: str, device: str) -> None:
    """One of several processes."""
    logging.basicConfig(level=logging.INFO if place == 0 else logging.WARNING)
    if device != "cpu":
        torch.cuda.set_device(place)
        device = "cuda"
    backend = "gloo" if device == "cpu" else "nccl"
    dist.init_process_group(backend, init_method=f"file://{meeting}", rank=place, world_size=world)
    try:
        _work(place, world, job, folder, table, device)
    finally:
        dist.destroy_process_group()


def _work(place: int, world: int, job: Job, folder: str, table: str, device: str) -> None:
    prepare_torch(job.threads)
    loaded = None if job.indices else load(job.model, device)
    with opened(job, loaded, (place, world)) as stream:
        _train(place, world, job, stream, folder, table, device)


def _train(place: int, world: int, job: Job, stream: Stream, folder: str, table: str, device: str) -> None:
    own = job.settings
    d = next(stream.blocks(0))[1].shape[1]
    coder = SparseCoder(config(own, d), seed=own["seed"]).to("cuda" if device == "auto" else device)
    trainer = Trainer(coder, recipe(own))
    buffer = Buffer(stream, own["buffer"], own["batch"], own["seed"] + 7919 * place)
    history = _resumed(job, trainer, buffer, place, world)
    rows = _learn(job, trainer, buffer, history, place, world)
    if place == 0:
        checkpoint.write(coder, folder)
        tables.write(pl.DataFrame(rows, schema=LOG, orient="row"), table, LOG)
        _clear(Path(job.state))


@contextlib.contextmanager
def opened(job: Job, loaded: Loaded | None, share: tuple[int, int] = (0, 1)) -> Iterator[Stream]:
    """The stream of stored states, or of those of the model while it runs."""
    seed = job.settings["seed"]
    if job.indices:
        stream: Stream = states.Stored(job.indices, f"{job.site}.all.values", seed, share)
    else:
        stream = states.streamed(loaded, job.site, **job.data, batch=job.batch, seed=seed, share=share)
    with contextlib.closing(stream):
        yield stream


def config(settings: Mapping[str, Any], d: int) -> Config:
    """The autoencoder that the settings ask for."""
    latents = settings["latents"] or settings["expansion"] * d
    return Config(
        d,
        latents,
        settings["k"],
        settings["variant"],
        settings["normalize"],
        settings["multi_topk"],
        tuple(settings["prefixes"]),
        settings["bandwidth"],
        aux_k=settings["aux_k"],
    )


def recipe(settings: Mapping[str, Any]) -> Recipe:
    """The recipe that the settings ask for; what dead latents leave is no part of released runs unless asked for."""
    chosen, official = {name: settings[name] for name in RECIPE}, settings["compat"] == "official"
    if settings["aux_weight"] is not None:
        chosen["aux_weight"] = settings["aux_weight"]
    elif official:
        chosen["aux_weight"] = 0.0
    if official and chosen.get("aux_weight"):
        log.warning("The released loss for dead latents turns them the wrong way (multimodal_sae.md 8.2 B1).")
    return Recipe(**chosen, optimizer=settings["optimizer"], official=official)


# ---- the loop ----------------------------------------------------------------------------------------------------


def _learn(
    job: Job, trainer: Trainer, buffer: Buffer, rows: list[list[float]], place: int, world: int
) -> list[list[float]]:
    """Rows of the log, after the last step."""
    own, since, start, before = job.settings, [], time.monotonic(), trainer.tokens
    windows = own["steps"] // own["accumulate"] if trainer.recipe.official else own["steps"]
    done = trainer.batches // own["accumulate"]
    source = iter(buffer)
    while done < windows:
        record = trainer.learn(next(source).to(trainer.since.device))
        if record is None:
            continue
        done = record.step
        since.append(record)
        if done % own["log_every"] == 0 or done == windows:
            speed = (record.tokens - before) / max(time.monotonic() - start, 1e-9)
            rows.append(_row(since, speed))
            log.info("step %d of %d: fvu %.4f, l0 %.1f, dead %.1f %%, %.0f tokens/s", *_told(rows[-1], windows))
            since, start, before = [], time.monotonic(), record.tokens
            # Only where nothing waits to be logged: what is kept is all there is.
            if own["save_every"] and (done // own["log_every"]) % own["save_every"] == 0 and done < windows:
                _keep(job, trainer, buffer, rows, place, world)
    return rows


def _row(since: list[Record], speed: float) -> list[float]:
    """One row of the log."""
    return [(means(since) | {"tokens_per_s": speed})[name] for name in LOG]


def means(since: Sequence[Record]) -> dict[str, float]:
    """The last record, with means over all of them of what differs from batch to batch."""
    found = {name: sum(getattr(one, name) for one in since) / len(since) for name in MEANS}
    return since[-1]._asdict() | found


def _told(row: list[float], windows: int) -> tuple[float, ...]:
    named = dict(zip(LOG, row, strict=True))
    return (named["step"], windows, named["fvu"], named["l0"], 100 * named["dead"], named["tokens_per_s"])


# ---- going on ----------------------------------------------------------------------------------------------------


def _keep(job: Job, trainer: Trainer, buffer: Buffer, rows: list[list[float]], place: int, world: int) -> None:
    """Write what a later run needs: every process its buffer, the first one the rest; the note about it comes last."""
    step, state = trainer.batches, Path(job.state)
    kept = {name: one.cpu() for name, one in buffer.state().items()}
    if place == 0:
        kept |= {name: one.cpu() for name, one in trainer.state().items()}
        kept["log"] = torch.tensor(rows, dtype=torch.float64)
    tensors.write(kept, state / f"{step}-{place}.safetensors", {})
    if world > 1:
        dist.barrier()
    if place == 0:
        files.write_json({"step": step, "processes": world, "digest": job.digest}, state / LATEST)
        for path in state.glob("*.safetensors"):
            if not path.name.startswith(f"{step}-"):
                path.unlink()


def _resumed(job: Job, trainer: Trainer, buffer: Buffer, place: int, world: int) -> list[list[float]]:
    """Rows of the log so far, once trainer and buffer are where the earlier run was; none at the beginning."""
    state = Path(job.state)
    if not (state / LATEST).is_file():
        return []
    told = files.read_json(state / LATEST)
    if (told["digest"], told["processes"]) != (job.digest, world):
        log.info("What an earlier run left in %s is of other settings, data or code; it is not used.", state)
        return []
    found = [_read(state / f"{told['step']}-{one}.safetensors") for one in dict.fromkeys((0, place))]
    trainer.restore(found[0])
    buffer.restore(found[-1])
    log.info("Going on behind batch %d of an earlier run.", trainer.batches)
    return found[0]["log"].tolist()


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, FileNotFoundError) as error:
        raise VlmscopeError(
            f"What an earlier run left is not whole: {error}", where=str(path), instead=f"delete {path.parent}"
        ) from error


def _clear(state: Path) -> None:
    """Nothing goes on from a run that has ended."""
    if state.is_dir():
        shutil.rmtree(state)
