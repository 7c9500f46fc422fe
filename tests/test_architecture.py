"""The house rules that a tool can check: who imports whom, what doors look like, what never occurs."""

import ast
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = sorted((ROOT / "vlmscope").rglob("*.py"))
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
RULE_FILES = sorted((ROOT / "rules").glob("*.smk"))

# Who may import whom: a part imports from rows below its own, never from its own row or above.
# House rule 2: rules -> scripts -> systems, show -> metrics, stats, edits, capture -> models, ... -> errors.
ROWS = (
    # For people and for the engine; nothing in the library may lean on them.
    # Deviation: `checks` asks `mmneuron.modules` which takes a method needs, so it stands above the systems.
    {"__main__"},
    # The report tells what was changed against the default, so it stands above the configuration.
    {"workflow", "code", "layout", "checks", "targets", "fetch", "config_files", "report"},
    # Typed settings. Methods take plain values, so the configuration stands above them and not below.
    {"config"},
    {"settings"},
    # What no single system has is put together from all five, above them.
    {"atlas"},
    {"mmneuron", "mm_neurons", "xl_vlms", "multimodal_sae", "llava_interp", "show"},
    # Deviation: many edits over the same samples, and those that differ by row and position, lean on the single ones.
    {"sweep", "pushes", "blocking", "replay"},
    # Deviation: edits and lenses share the hooks' way to find a module (capture.taps): one step above capture.
    # Deviation: fine-tunes take their batches from captures and their prompts from the readers of datasets.
    {"edits", "lens", "finetune"},
    {"capture", "metrics", "stats", "meta"},
    # Deviation: the manifest of official files is written by the drawn world and by the readers of datasets.
    {"raw"},
    # Deviation: the embedded models are trained on the world (models.tiny), so the world stands one step below.
    {"models", "datasets"},
    # Deviation: the sample table is itself a checked table of the store.
    {"samples"},
    # Deviation: logs and progress (session) serve captures and systems alike.
    {"store", "world", "session", "orders"},
    # Deviation: words are looked for in texts of samples and in what tokens spell (store.spelling).
    {"selection"},
    {"errors"},
)
# The same inside systems of many modules.
PARTS = {
    "mm_neurons": (
        *("exchange", "look", "edit", "perturb", "measures", "image", "rank", "text", "runs"),
        *("schemas", "results", "notes", "needs"),
    ),
    "multimodal_sae": (
        *("beyond", "tables", "look", "figures", "attribution", "text", "steer", "score", "explain"),
        *("cache", "quality", "train", "coder", "schemas"),
    ),
    "llava_interp": (
        *("exchange", "look", "ablation", "tracing", "attention", "lens", "knockout", "tables", "asking", "schemas"),
    ),
    "xl_vlms": (
        *("pages", "exchange", "captions", "learned", "shift", "cox", "steer", "dictionaries", "words", "sets"),
    ),
}
SYSTEMS = {"mmneuron", "mm_neurons", "xl_vlms", "multimodal_sae", "llava_interp"}
# Modules whose import may bring torch; everything else starts in a fraction of a second.
TORCH = re.compile(
    r"vlmscope/((models|capture|finetune)/|(edits|pushes|replay|blocking|sweep|lens)\.py"
    r"|store/(weights|tensors|torch_files)\.py"
    # Deviation: read states, gradients and answers during their own passes.
    r"|llava_interp/(asking/(prompts|mean|experiments)|lens/(reading|tuned|detector)|knockout/(passes|spoken))\.py"
    r"|llava_interp/(attention/(rollout|run)|tracing/(repair|pairs)|ablation/(gradient|layers)|look/views)\.py"
    r"|multimodal_sae/(coder/(sae|sparse|select|checkpoint|directions)|train/(run|trainer|buffer|states))\.py"
    r"|multimodal_sae/(quality/\w+|cache/(passes|first_view)|steer/(clamping|answers)|text/cache)\.py"
    r"|multimodal_sae/(attribution/(patching|files|probe)|tables/small|beyond/(patches|stability_files))\.py"
    # Deviation: read states during their own passes.
    r"|mmneuron/(perturb|lens|embed|examples)\.py"
    # Deviation: products of weights, gradients and parts of logits; units at image tokens, new captions, edits.
    r"|mm_neurons/(rank/(words|scores|ranking|gradient|attribution)|image/(patches|units|shuffle)|runs/\w+)\.py"
    r"|mm_neurons/(perturb/(effects|trials)|edit/(making|files|methods|optimise))\.py"
    # Deviation: states under forced answers, and the network that is trained on them.
    r"|xl_vlms/learned/(states|train)\.py"
    # Deviation: latents at given states; all passes of the atlas.
    r"|atlas/(edits|latents|objects|steering|runs)\.py"
    # Deviation: the two towers of CLIP.
    r"|metrics/clip_towers\.py"
    # Deviation: scores imported lists again, from the released activations; writes projections of all neurons.
    r"|mm_neurons/exchange/(imported|preparation)\.py)"
)
# transformers costs seconds: outside of training it is imported inside functions.
# Deviation: our own model classes inherit from its classes; only loading such a model imports them.
TRANSFORMERS = re.compile(r"vlmscope/models/(tiny|owl2|molmo_hf)/")
NETWORK = {
    "urllib",
    "http",
    "zipfile",
    "tarfile",
    "huggingface_hub",
    "httpx",
    "requests",
    "socket",
    "ftplib",
    "aiohttp",
}
DIRECTIVES = [
    *("input", "output", "wildcard_constraints", "log", "benchmark", "params", "group"),
    *("threads", "resources", "conda", "script"),
]


def name(path):
    return str(path.relative_to(ROOT))


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(nodes):
    """Dotted names that these nodes import; `from a import b` gives both `a` and `a.b`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{one.name}" for one in node.names)


def at_import(path):
    """Imports that run when the module itself is imported: everything outside of functions."""
    todo = list(tree(path).body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            todo += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]


def part(module):
    return module.split(".")[1]


def row_of(wanted):
    return next(place for place, row in enumerate(ROWS) if wanted in row)


def module_file(module):
    """The file behind a dotted name of the package, None for anything else."""
    path = ROOT / module.replace(".", "/")
    found = [one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file()]
    return found[0] if found and module.startswith("vlmscope") else None


def loads(path, seen=None):
    """Foreign packages that are imported, however deep, when a file starts."""
    seen = set() if seen is None else seen
    found = set()
    for module in imported(at_import(path)):
        file = module_file(module)
        if file is None:
            found.add(module.split(".")[0])
        elif file not in seen:
            seen.add(file)
            found |= loads(file, seen)
    return found


# ---- imports -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LIBRARY, ids=name)
def test_imports_point_downwards(path):
    own = path.relative_to(ROOT / "vlmscope").parts[0].removesuffix(".py")
    for module in set(imported(ast.walk(tree(path)))):
        if module.startswith("vlmscope.") and part(module) != own:
            assert row_of(part(module)) > row_of(own), f"{name(path)} imports {module}"


@pytest.mark.parametrize(
    "path", [path for one in PARTS for path in sorted((ROOT / "vlmscope" / one).glob("*/*.py"))], ids=name
)
def test_parts_of_a_system_import_downwards(path):
    system = path.parent.parent.name
    own = PARTS[system].index(path.parent.name)
    for module in set(imported(ast.walk(tree(path)))):
        before, _, rest = module.partition(f"{system}.")
        if before == "vlmscope." and rest.split(".")[0] != path.parent.name:
            assert PARTS[system].index(rest.split(".")[0]) > own, f"{name(path)} imports {module}"


@pytest.mark.parametrize("system", PARTS)
def test_every_part_of_a_system_has_a_place(system):
    parts = {path.name for path in (ROOT / "vlmscope" / system).iterdir() if (path / "__init__.py").is_file()}
    assert parts <= set(PARTS[system])


def test_every_part_of_the_library_has_one_place_in_the_table():
    parts = {path.relative_to(ROOT / "vlmscope").parts[0].removesuffix(".py") for path in LIBRARY} - {"__init__"}
    places = [one for row in ROWS for one in row]
    assert len(places) == len(set(places))
    assert parts <= set(places)


@pytest.mark.parametrize(
    "path", [*SCRIPTS, *(one for one in LIBRARY if one.relative_to(ROOT).parts[1] in SYSTEMS)], ids=name
)
def test_systems_never_import_each_other(path):
    home = path.relative_to(ROOT).parts[1]
    others = {one for one in SYSTEMS if home != one and not home.startswith(one + "_")}
    assert not {part(one) for one in imported(ast.walk(tree(path))) if one.startswith("vlmscope.")} & others


@pytest.mark.parametrize("path", LIBRARY, ids=name)
def test_the_library_does_not_know_the_engine(path):
    nodes = list(ast.walk(tree(path)))
    assert not {module for module in imported(nodes) if module.split(".")[0] == "snakemake"}
    assert "snakemake" not in {node.id for node in nodes if isinstance(node, ast.Name)}
    assert not [node for node in nodes if isinstance(node, ast.ImportFrom) and node.level], "relative import"


@pytest.mark.parametrize("path", LIBRARY, ids=name)
def test_torch_and_transformers_load_only_where_they_are_needed(path):
    roots = {module.split(".")[0] for module in imported(at_import(path))}
    assert "torch" not in roots or TORCH.match(name(path))
    assert "transformers" not in roots or TRANSFORMERS.match(name(path))


@pytest.mark.parametrize("path", LIBRARY + SCRIPTS, ids=name)
def test_only_fetch_opens_connections_and_archives(path):
    roots = {module.split(".")[0] for module in imported(ast.walk(tree(path)))}
    inside = path.relative_to(ROOT).parts[1] in ("fetch", "fetch.py")
    # Deviation: looks at the list of contents of a PyTorch file before it is opened.
    allowed = {"zipfile"} if name(path) == "vlmscope/store/torch_files.py" else set()
    assert inside or not roots & NETWORK - allowed


def is_careful(path, call):
    """One module opens pickled weights and one the files of released code, as data that stays on disk."""
    set_to = {keyword.arg: getattr(keyword.value, "value", None) for keyword in call.keywords}
    at_home = name(path) in ("vlmscope/models/convert/pickles.py", "vlmscope/store/torch_files.py")
    return at_home and set_to.get("weights_only") is True and set_to.get("mmap") is True


@pytest.mark.parametrize("path", LIBRARY + SCRIPTS, ids=name)
def test_nothing_runs_code_from_files(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "yaml.load", "yaml.unsafe_load", "os.system"), called
            assert called != "torch.load" or is_careful(path, node), ast.unparse(node)
            for keyword in node.keywords:
                open_door = keyword.arg in ("trust_remote_code", "allow_pickle", "shell")
                assert not (open_door and getattr(keyword.value, "value", True)), ast.unparse(node)
    roots = {module.split(".")[0] for module in imported(ast.walk(tree(path)))}
    assert not roots & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


@pytest.mark.parametrize("path", [*RULE_FILES, ROOT / "Snakefile"], ids=name)
def test_rules_run_no_code_from_files(path):
    assert not re.search(r"\b(pickle|eval|exec)\b|torch\.load|yaml\.load\(", path.read_text(encoding="utf-8"))


# ---- scripts: doors ----------------------------------------------------------------------------------------------

LOGIC = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.For,
    ast.While,
    ast.If,
    ast.IfExp,
    ast.Try,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
    ast.BinOp,
    ast.BoolOp,
    ast.Compare,
)


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_a_script_is_a_door_without_logic(path):
    found = [ast.unparse(node) for node in ast.walk(tree(path)) if isinstance(node, LOGIC)]
    assert not found
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 25
    assert ast.get_docstring(tree(path))


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_a_script_works_inside_its_log(path):
    body = [node for node in tree(path).body if not isinstance(node, ast.Import | ast.ImportFrom | ast.Expr)]
    assert [type(node) for node in body] == [ast.With]
    assert ast.unparse(body[0].items[0].context_expr) == "logged(snakemake.log[0])"


# ---- rules -------------------------------------------------------------------------------------------------------


def rules_of(path):
    """Rule name -> directive -> text, with the docstring under `doc`."""
    found = {}
    text = path.read_text(encoding="utf-8")
    for block in re.split(r"^(?=rule \w+:|checkpoint \w+:)", text, flags=re.M)[1:]:
        # A rule ends where a line stands at the margin again.
        head, _, rest = block.partition("\n")
        rest = re.split(r"^(?=\S)", rest, flags=re.M)[0]
        parts = re.split(r"^    (\w+):", rest, flags=re.M)
        directives = {"doc": parts[0].strip()}
        directives |= dict(zip(parts[1::2], (one.strip() for one in parts[2::2]), strict=True))
        found[head.split()[1].rstrip(":")] = directives
    return found


RULES = {rule: text for path in [*RULE_FILES, ROOT / "Snakefile"] for rule, text in rules_of(path).items()}
WORKING = {rule: text for rule, text in RULES.items() if "script" in text}


def environments(text):
    """Files that a conda directive may name, through a variable of common.smk too."""
    if text.startswith('"'):
        return [text.strip('"')]
    common = (ROOT / "rules" / "common.smk").read_text(encoding="utf-8")
    line = re.search(rf"^{text} = .*$", common, flags=re.M)
    return re.findall(r'"(\.\./envs/[^"]+)"', line[0])


def test_the_rules_were_understood():
    assert {"capture_shard", "mmneuron_table2", "all", "mmneuron"} <= set(RULES)
    assert len(RULES) == sum(
        len(re.findall(r"^(?:rule|checkpoint) ", path.read_text(), flags=re.M))
        for path in [*RULE_FILES, ROOT / "Snakefile"]
    )


def test_rules_and_scripts_are_named_alike():
    assert {f"../scripts/{rule}.py" for rule in WORKING} == {text["script"].strip('"') for text in WORKING.values()}
    assert set(WORKING) == {path.stem for path in SCRIPTS}
    assert not [rule for rule, text in RULES.items() if {"shell", "run", "notebook", "wrapper"} & set(text)]


@pytest.mark.parametrize("rule", sorted(rule for rule, text in WORKING.items() if '.html"' in text["output"]))
def test_a_page_is_drawn_anew_when_a_part_of_it_changes(rule):
    assert re.search(r"templates=expand\(\s*page_parts,\s*file=", WORKING[rule]["input"]), "every template that it has"


@pytest.mark.parametrize("rule", sorted(WORKING))
def test_a_rule_has_everything_it_needs(rule):
    text = WORKING[rule]
    assert {"output", "log", "params", "threads", "resources", "conda"} <= set(text)
    assert re.search(rf"""^\s*code=code\(\s*"{rule}"[,)]""", text["params"], flags=re.M), "code digest of its script"
    assert rule in text["log"]
    assert text["resources"].startswith(("**cpu(", "**gpu("))
    for file in environments(text["conda"]):
        assert (ROOT / "rules" / file).is_file()
    assert "benchmark" in text or not text["resources"].startswith("**gpu(")


@pytest.mark.parametrize("rule", sorted(WORKING))
def test_folders_are_no_part_of_the_engines_report(rule):
    assert not re.search(r"report\(\s*directory", WORKING[rule]["output"]), "the engine then makes no single page"


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_rule_is_told_in_one_sentence_and_in_the_same_order(rule):
    text = RULES[rule]
    assert re.fullmatch(r'"""[^"\n]+\."""', text["doc"])
    assert "retries" not in text, "retries belong to the profile"
    known = [one for one in text if one not in ("doc", "default_target")]
    assert known == [one for one in DIRECTIVES if one in known]


@pytest.mark.parametrize("path", [*RULE_FILES, ROOT / "Snakefile"], ids=name)
def test_rule_files_hold_no_logic(path):
    assert not re.search(r"\blambda\b|^\s*(def|class|for|while)\b", path.read_text(encoding="utf-8"), flags=re.M)


@pytest.mark.parametrize("path", [one for one in RULE_FILES if one.name != "common.smk"], ids=name)
def test_a_rule_file_opens_with_its_contract(path):
    head = path.read_text(encoding="utf-8").split("\n\n\n")[0]
    assert re.findall(r"^# (NEEDS|MAKES|SETTINGS) +\S", head, flags=re.M) == ["NEEDS", "MAKES", "SETTINGS"]


@pytest.mark.parametrize(
    "rule", sorted(rule for rule, text in WORKING.items() if environments(text["conda"]) == ["../envs/cpu.yaml"])
)
def test_steps_without_a_model_start_without_torch(rule):
    assert not loads(ROOT / "scripts" / f"{rule}.py") & {"torch", "transformers", "sklearn", "scipy", "matplotlib"}


# ---- how the code reads ------------------------------------------------------------------------------------------


def functions(path):
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def length(node):
    return node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("path", LIBRARY, ids=name)
def test_files_and_functions_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350
    assert not [node.name for node in functions(path) if length(node) > 70]


def test_most_functions_are_very_short():
    lengths = [length(node) for path in LIBRARY for node in functions(path)]
    assert statistics.median(lengths) <= 12
    assert sum(one <= 35 for one in lengths) >= 0.9 * len(lengths)


@pytest.mark.parametrize("path", LIBRARY, ids=name)
def test_all_arguments_are_typed(path):
    for node in functions(path):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        bare = [one.arg for one in arguments if one and not one.annotation and one.arg not in ("self", "cls")]
        assert not bare, f"{node.name}: {bare}"
        assert node.returns is not None, f"{node.name}: return type"


@pytest.mark.parametrize("path", LIBRARY, ids=name)
def test_public_things_say_what_they_are(path):
    module = tree(path)
    if module.body:
        assert ast.get_docstring(module), "module"
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    public = [node for node in module.body if isinstance(node, kinds)]
    public += [inner for node in public if isinstance(node, ast.ClassDef) for inner in node.body]
    for node in public:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


@pytest.mark.parametrize("path", LIBRARY, ids=name)
def test_modules_have_telling_names(path):
    assert path.stem not in ("utils", "helpers", "common", "misc")
    classes = [node.name for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]
    assert not [one for one in classes if one.endswith(("Manager", "Handler", "Runner"))]
