"""Train the network that writes a steering vector for every prompt."""

from vlmscope.session import logged, prepare_torch, settings
from vlmscope.store import tables
from vlmscope.xl_vlms import learned_net, learned_train

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    course = learned_train.from_files(snakemake.input.states, settings(snakemake.params.settings))
    learned_net.write(course.net, snakemake.output.net, {"task": snakemake.wildcards.task})
    tables.write(learned_train.table(course), snakemake.output.curve, learned_train.CURVES)
