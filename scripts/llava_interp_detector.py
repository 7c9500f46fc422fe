"""Write what the lens and the model say of objects that are there and of others."""

from vlmscope.llava_interp.asking import experiments
from vlmscope.llava_interp.lens import detector
from vlmscope.llava_interp.lens.detector_tables import DETECTED
from vlmscope.session import logged

with logged(snakemake.log[0]):
    experiments.write(detector.from_files, DETECTED, snakemake)
