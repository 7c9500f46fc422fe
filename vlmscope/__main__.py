"""Three verbs for people: look into a file, list a model's sites, check a configuration; and print generated files.

python -m vlmscope inspect FILE       what a shard, index or table holds
python -m vlmscope show FILE...       tables as text
python -m vlmscope sites NAME [FILE]  named places in the forward pass of a family or model; models of FILE too
python -m vlmscope check [FILE]       whether the configuration holds together when FILE is laid over the default
python -m vlmscope config             rewrite config.yaml and config.schema.json from vlmscope/config.py
python -m vlmscope cards              rewrite the cards of the embedded models from what was measured of them
"""

import argparse
import signal
import sys
from pathlib import Path

from vlmscope.errors import VlmscopeError


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; 0 when all is well, 1 with a worded error."""
    parser = argparse.ArgumentParser(prog="vlmscope", description=__doc__.split("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("inspect", help="what a shard, index or table holds").add_argument("file", type=Path)
    verbs.add_parser("show", help="tables as text").add_argument("file", type=Path, nargs="+")
    sites = verbs.add_parser("sites", help="named places of a model or family")
    sites.add_argument("name")
    sites.add_argument("file", nargs="?", type=Path)
    verbs.add_parser("check", help="check a configuration").add_argument(
        "file", nargs="?", default="config.yaml", type=Path
    )
    verbs.add_parser("config", help="rewrite config.yaml and config.schema.json")
    verbs.add_parser("cards", help="rewrite the cards of the embedded models")
    chosen = parser.parse_args(arguments)
    try:
        print(VERBS[chosen.verb](chosen))
    except VlmscopeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _inspect(chosen: argparse.Namespace) -> str:
    if chosen.file.suffix == ".h5":
        return _shard(chosen.file)
    if chosen.file.suffix == ".json":
        from vlmscope.store import shards

        index = shards.read_index(chosen.file)
        count = f"{len(index['shards'])} shards, {len(index['samples'])} samples, every digest as written"
        return f"{chosen.file}: {count}\nrecipe {index['recipe']}"
    return _tables([chosen.file])


def _shard(path: Path) -> str:
    import h5py

    from vlmscope.store import shards

    lines = []
    with shards.open_shard(path) as file:
        lines += [f"{path}: {len(file['samples'])} samples", f"recipe {file.attrs['recipe']}"]

        def tell(name: str, item: h5py.Dataset | h5py.Group) -> None:
            if isinstance(item, h5py.Dataset):
                lines.append(f"  {name:40} {item.dtype} {item.shape}")

        file.visititems(tell)
    return "\n".join(lines)


def _tables(paths: list[Path]) -> str:
    import polars as pl

    texts = []
    with pl.Config(tbl_rows=100, tbl_cols=30, tbl_hide_dataframe_shape=True, fmt_str_lengths=40, tbl_width_chars=200):
        for path in paths:
            if not path.is_file():
                raise VlmscopeError("The table is not there.", where=str(path), instead=f"snakemake {path}")
            try:
                csv = path.suffix == ".csv"
                frame = pl.read_csv(path, infer_schema_length=None) if csv else pl.read_parquet(path)
            except pl.exceptions.PolarsError as error:
                raise VlmscopeError(f"The table cannot be read: {error}", where=str(path)) from None
            # Empty cells are shown empty.
            texts.append(f"{path}\n{frame.with_columns(pl.col(pl.String).fill_null(''))}")
    return "\n\n".join(texts)


def _sites(chosen: argparse.Namespace) -> str:
    from vlmscope import config
    from vlmscope.models.base import family

    # A model of the catalogue stands for its family; any other word must be a family itself.
    models = (config.overlaid(chosen.file) if chosen.file else config.default()).models
    kind = family(models[chosen.name].family if chosen.name in models else chosen.name)
    rows = [f"{'site':16} {'side':7} {'positions':10} path (family {kind.name})"]
    rows += [f"{name:16} {site.side:7} {site.stream:10} {site.path}" for name, site in kind.sites.items()]
    return "\n".join(rows)


def _check(chosen: argparse.Namespace) -> str:
    from vlmscope import checks, config

    checks.check_plan(config.overlaid(chosen.file))
    return f"{chosen.file} holds together."


def _config(chosen: argparse.Namespace) -> str:
    from vlmscope import config_files

    Path("config.yaml").write_text(config_files.default_text(), encoding="utf-8")
    Path("config.schema.json").write_text(config_files.schema_text(), encoding="utf-8")
    return "config.yaml and config.schema.json are written."


def _cards(chosen: argparse.Namespace) -> str:
    from vlmscope.models.tiny import card

    return "\n".join(map(str, card.reprint(Path("weights")))) + "\nare written."


VERBS = {
    "inspect": _inspect,
    "show": lambda chosen: _tables(chosen.file),
    "sites": _sites,
    "check": _check,
    "config": _config,
    "cards": _cards,
}

if __name__ == "__main__":
    # `... | head` ends the program quietly, as other tools end.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
