"""Analysis files of the released code, in and out."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA, DictionaryLearning

from vlmscope.errors import VlmscopeError
from vlmscope.store import torch_files
from vlmscope.xl_vlms.dictionaries import dictionary
from vlmscope.xl_vlms.dictionaries.files import Key, Side, Stored
from vlmscope.xl_vlms.exchange import dictionaries
from vlmscope.xl_vlms.sets.vectors import VectorSet


def vector_set(count, seed):
    values = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32) + 2
    names = [f"{seed}-{place}" for place in range(count)]
    return VectorSet(names, [f"{name}.jpg" for name in names], names, values, np.arange(count), count)


def released(values, method):
    """A file's content as the released code writes it, the fitted estimator among it."""
    made = {"kmeans": KMeans(3, n_init=1), "pca": PCA(3), "snmf": DictionaryLearning(3, random_state=0, max_iter=5)}
    fitted = made[method].set_params(random_state=0).fit(values)
    concepts = fitted.cluster_centers_ if method == "kmeans" else fitted.components_
    return {
        "concepts": torch.tensor(concepts),
        "activations": torch.ones(len(values), 3),
        "decomposition_method": method,
        "text_grounding": [["dog", "red"], [], ["cat"]],
        "image_grounding_paths": [["/elsewhere/a.jpg"]] * 3,
        "analysis_model": fitted,
    }


def read(path, train, test):
    return dictionaries.imported(path, train, test, module="final_norm", pictures=4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["kmeans", "pca", "snmf"])
def test_a_released_dictionary_is_read_without_its_pickled_estimator(tmp_path, method):
    train, test = vector_set(30, 0), vector_set(6, 1)
    held = released(train.values, method)
    torch.save(held, tmp_path / "analysis.pth")
    one = read(tmp_path / "analysis.pth", train, test)
    assert one.words == held["text_grounding"] and one.key == Key("final_norm", method, 3, 0)
    np.testing.assert_allclose(one.dictionary.concepts, held["concepts"].numpy(), rtol=1e-6)
    assert (one.dictionary.activations == 1).all() and one.images.shape == (3, 4)
    if method == "pca":
        np.testing.assert_allclose(one.held_out, held["analysis_model"].transform(test.values), atol=1e-4)


def test_what_is_written_is_read_again(tmp_path):
    train, test = vector_set(30, 0), vector_set(6, 1)
    found = dictionary.fit(train.values, "snmf", 3)
    projected, held_out = (dictionary.project(found, one.values) for one in (train, test))
    own = Stored(Key("final_norm", "snmf", 3, 0), found, projected, held_out, [["dog"], [], []], np.zeros((3, 4), int))
    side = Side(train.samples, train.images, train.texts)
    torch_files.write(dictionaries.exported(own, side), tmp_path / "analysis.pth")
    again = read(tmp_path / "analysis.pth", train, test)
    np.testing.assert_array_equal(again.dictionary.activations, found.activations)
    np.testing.assert_allclose(again.projected, projected, atol=1e-5)
    assert again.words == own.words
    assert torch_files.read(tmp_path / "analysis.pth")["image_grounding_paths"][0] == ["0-0.jpg"] * 4


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"concepts": torch.ones(3, 5)}, "units"),
        ({"decomposition_method": "magic"}, "magic"),
        ({"activations": torch.ones(2, 3)}, "30 vectors"),
        ({"concepts": None}, "lacks"),
    ],
)
def test_a_file_of_other_vectors_is_refused(tmp_path, change, why):
    train = vector_set(30, 0)
    held = {"concepts": torch.ones(3, 8), "decomposition_method": "kmeans", **change}
    torch.save(held, tmp_path / "analysis.pth")
    with pytest.raises(VlmscopeError, match=why):
        read(tmp_path / "analysis.pth", train, vector_set(6, 1))


class Trap:
    """Runs something when it is loaded."""

    def __reduce__(self):
        return print, ("run",)


def test_other_objects_are_refused_still(tmp_path, capsys):
    torch.save({"concepts": torch.ones(3, 8), "x": KMeans(2), "trap": Trap()}, tmp_path / "analysis.pth")
    with pytest.raises(VlmscopeError, match="it would call"):
        torch_files.read(tmp_path / "analysis.pth", without=dictionaries.ESTIMATOR)
    torch.save({"x": KMeans(2)}, tmp_path / "plain.pth")
    with pytest.raises(VlmscopeError, match="it would call"):
        torch_files.read(tmp_path / "plain.pth")
    assert torch_files.read(tmp_path / "plain.pth", without=("sklearn",)) == {"x": None}
    assert "run" not in capsys.readouterr().out
