"""Train the network that writes a steering vector for every prompt, and tell how near its vectors are."""

from vlmscope.session import logged, prepare_torch, settings
from vlmscope.store import tables
from vlmscope.xl_vlms import learned_fit, learned_net, learned_train

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    asked, out = settings(snakemake.params.settings), snakemake.output
    course = learned_train.from_files(snakemake.input.trained, asked)
    learned_net.write(course.net, out.net, {"task": snakemake.wildcards.task})
    tables.write(learned_train.table(course), out.curve, learned_train.CURVES)
    fit = learned_fit.from_files(course.net, snakemake.input.trained, snakemake.input.tested, asked)
    tables.write(fit, out.fit, learned_fit.FIT)
