# Binds the library's helpers to the configuration; no logic here.
from snakemake.exceptions import WorkflowError

from vlmscope import checks, layout, targets, workflow as flow
from vlmscope.code import code
from vlmscope.config import resolve
from vlmscope.errors import VlmscopeError

flow.expose(root)

try:
    cfg = resolve(config, where="config.yaml and what was laid over it")
    checks.check_plan(cfg)
    # The engine knows its targets only after it has read the rules.
    targets.check(sys.argv[1:], cfg)
except VlmscopeError as error:
    raise WorkflowError(str(error))

settings = flow.Settings(cfg)
paths = layout.Paths(cfg)
resources = flow.Resources(cfg.scale, {name: one.device for name, one in cfg.models.items()})
cpu, gpu = resources.cpu, resources.gpu
# Parts of pages: an edit of one draws the pages anew that are made of it.
page_parts = os.path.join(root, "vlmscope", "show", "templates", "{file}")
# A real judge is a model: its steps then need torch and more memory.
judge_env = "../envs/cpu.yaml" if cfg.mmneuron.evaluate.judge == "token_f1" else "../envs/gpu.yaml"
judge_gb = 1.5 if cfg.mmneuron.evaluate.judge == "token_f1" else 8


wildcard_constraints:
    model=flow.one_of([*cfg.models, *cfg.judges]),
    dataset=flow.one_of(cfg.datasets),
    domain=flow.one_of(cfg.mmneuron.domains),
    capture=flow.one_of(cfg.captures),
    split="train|val",
    shard=r"\d{5}",
    part="none|masked",
    set=flow.one_of(cfg.xl_vlms.sets),
