# Binds the library's helpers to the configuration; no logic here.
from snakemake.exceptions import WorkflowError

from vlmscope import layout, workflow as flow
from vlmscope.config import resolve
from vlmscope.errors import VlmscopeError

flow.expose(workflow.basedir)

try:
    cfg = resolve(config, where="config.yaml and what was laid over it")
    layout.check_plan(cfg)
    layout.check_targets(getattr(workflow.dag_settings, "targets", None) or [], cfg)
except VlmscopeError as error:
    raise WorkflowError(str(error))

settings = flow.Settings(cfg)
code = flow.code
paths = layout.Paths(cfg)
resources = flow.Resources(cfg.scale)
cpu, gpu = resources.cpu, resources.gpu


wildcard_constraints:
    model=flow.one_of([*cfg.models, *cfg.judges]),
    dataset=flow.one_of(cfg.datasets),
    domain=flow.one_of(cfg.mmneuron.domains),
    capture=flow.one_of(cfg.captures),
    module=flow.one_of(layout.modules_of(cfg)),
    split="train|val",
    shard=r"\d{5}",
    part="none|masked",
