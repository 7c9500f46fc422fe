"""The default configuration with some keys changed."""

from vlmscope import config


def tree(**paths):
    """As plain data; `__` stands for a point: `xl_vlms__steer__seed=3`."""
    found = config.plain(config.default())
    for path, value in paths.items():
        *above, last = path.split("__")
        part = found
        for key in above:
            part = part[key]
        part[last] = value
    return found


def changed(**paths):
    """Checked, as the workflow has it."""
    return config.resolve(tree(**paths))
