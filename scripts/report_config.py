"""Write the configuration as it took effect."""

import yaml

from vlmscope.session import logged, settings
from vlmscope.store.files import write_text

with logged(snakemake.log[0]):
    write_text(yaml.safe_dump(settings(snakemake.params.settings), sort_keys=False), snakemake.output[0])
