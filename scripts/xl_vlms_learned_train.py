"""Train the network that writes a steering vector for every prompt, and tell how near its vectors are."""

from vlmscope.session import logged, prepare_torch, settings
from vlmscope.store import tables
from vlmscope.xl_vlms.learned import fit as learned_fit
from vlmscope.xl_vlms.learned import net, train

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    asked, out = settings(snakemake.params.settings), snakemake.output
    course = train.from_files(snakemake.input.trained, asked)
    net.write(course.net, out.net, {"task": snakemake.wildcards.task})
    tables.write(train.table(course), out.curve, train.CURVES)
    fit = learned_fit.from_files(course.net, snakemake.input.trained, snakemake.input.tested, asked)
    tables.write(fit, out.fit, learned_fit.FIT)
