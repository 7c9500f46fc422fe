"""Download a list of links and the pictures behind them."""

from vlmscope.fetch.links import REPORT, fetch_linked
from vlmscope.session import logged, settings
from vlmscope.store import tables
from vlmscope.store.files import write_json

with logged(snakemake.log[0]):
    chosen, deal = settings(snakemake.params.settings), settings(snakemake.params.deal)
    about, dead = fetch_linked(snakemake.params.folder, chosen["splits"], deal)
    tables.write(dead, snakemake.output.dead, REPORT)
    write_json(about, snakemake.output.raw)
