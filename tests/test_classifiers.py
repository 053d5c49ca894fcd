"""Classifiers of every kind are opened and give the scores they should; code is run only where it is trusted."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from synthgen import class_file, classifiers, file_hash, labelled_set, model_file, predictions_file
from synthgen.classifiers import Options, open_classifier
from synthgen.errors import RequestError, SynthgenError
from synthgen.types import LabelledSet

COLOURS = {"blue": (10, 20, 230), "green": (20, 220, 30), "red": (240, 20, 10)}
LIKELY = tuple(COLOURS)
ORDER = [2, 1, 0]  # of LIKELY, as R, G, B: the mean of each channel is the score of its colour


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> LabelledSet:
    """Six pictures of each colour, in class folders."""
    folder = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir()
        for number in range(6):
            pixels = np.clip(np.array(colour) + rng.integers(-10, 11, (40, 48, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return labelled_set.read(folder)


def right(classifier: classifiers.Classifier, pictures: LabelledSet) -> bool:
    scores = classifier.scores(pictures)
    assert scores.shape == (18, 3)
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    chosen = [classifier.classes[index] for index in scores.argmax(axis=1)]
    return chosen == [item.label for item in pictures.pictures]


def write_onnx(path: Path, shape: list[object], axes: list[int], classes: str = "", outputs: int = 3) -> Path:
    """A network whose three logits are the means of the blue, green and red channels, times 8."""
    nodes = [
        helper.make_node("ReduceMean", ["pictures", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "turn"], ["logits"]),
    ]
    turn = np.zeros((3, 3), np.float32)
    turn[[0, 1, 2], ORDER] = 8
    constants = [numpy_helper.from_array(np.array(axes), "axes"), numpy_helper.from_array(turn[:, :outputs], "turn")]
    graph = helper.make_graph(
        nodes, "toy", [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [shape[0], outputs])], constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if classes:
        model.metadata_props.add(key="classes", value=classes)
    onnx.save(model, path)
    return path


class Means(torch.nn.Module):
    """The same in torch."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return 8 * pictures.mean(dim=(2, 3)).flip(1)


@pytest.mark.parametrize(
    ("shape", "axes"), [(["n", 3, 32, 24], [2, 3]), (["n", 32, 24, 3], [1, 2]), ([4, 3, 16, 16], [2, 3])]
)
def test_onnx_of_either_layout_and_of_a_fixed_batch(
    shape: list[object], axes: list[int], pictures: LabelledSet, tmp_path: Path
) -> None:
    found = open_classifier(str(write_onnx(tmp_path / "toy.onnx", shape, axes)), Options(likely_classes=LIKELY))
    assert right(found, pictures)
    assert found.sha256 == file_hash.sha256(tmp_path / "toy.onnx") and found.kind == "onnx"
    assert any("order of name" in remark for remark in found.remarks)


@pytest.mark.filterwarnings("ignore")
def test_onnx_that_torch_exported(pictures: LabelledSet, tmp_path: Path) -> None:
    path = tmp_path / "exported.onnx"
    torch.onnx.export(
        Means(), (torch.zeros(2, 3, 24, 24),), str(path), dynamo=True, verbose=False,
        dynamic_shapes={"pictures": {0: torch.export.Dim("n")}},
    )  # fmt: skip
    assert right(open_classifier(str(path), Options(likely_classes=LIKELY)), pictures)


def test_classes_come_from_the_file_then_from_the_model(pictures: LabelledSet, tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "named.onnx", ["n", 3, 16, 16], [2, 3], "['blue', 'green', 'red']")
    assert right(open_classifier(str(path), Options(likely_classes=("red", "blue", "green"))), pictures)
    listed = tmp_path / "classes.txt"
    listed.write_text("red\ngreen\nblue\n")
    given = open_classifier(str(path), Options(classes_file=listed))
    assert given.classes == ("red", "green", "blue") and not right(given, pictures)


def test_mean_std_size_and_fit_are_applied() -> None:
    asked, _ = class_file.settled(class_file.Input((), 10, (0.5, 0.25, 0.0), (0.5, 0.25, 1.0), "pad"), None, "x")
    array = model_file.pixels([Image.new("RGB", (20, 10), (255, 255, 255))], asked)
    assert array.shape == (1, 3, 10, 10) and array.dtype == np.float32
    np.testing.assert_allclose(array[0, :, 5, 5], [1, 3, 1], atol=1e-6)
    assert array[0, 2, 0, 0] == pytest.approx(127 / 255)
    asked, _ = class_file.settled(class_file.Input(size=(6, 12), fit="stretch"), None, "x")
    assert model_file.pixels([Image.new("RGB", (20, 10))], asked).shape == (1, 3, 6, 12)


@pytest.mark.parametrize("form", ["pt", "pt2"])
def test_torch_files_are_opened_only_where_they_are_trusted(form: str, pictures: LabelledSet, tmp_path: Path) -> None:
    path = tmp_path / f"means.{form}"
    if form == "pt2":
        torch.export.save(
            torch.export.export(Means(), (torch.zeros(4, 3, 224, 224),), dynamic_shapes=({0: torch.export.Dim("n")},)),
            path,
        )
    else:
        torch.jit.trace(Means(), torch.zeros(1, 3, 224, 224)).save(path)
    with pytest.raises(RequestError, match="--trust-code"):
        open_classifier(str(path), Options(likely_classes=LIKELY))
    assert right(open_classifier(str(path), Options(likely_classes=LIKELY, trust_code=True)), pictures)


def test_a_pickle_in_torch_clothes_is_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    path = tmp_path / "bomb.pt"
    path.write_bytes(pickle.dumps(Bomb()))
    for trusted in (False, True):
        with pytest.raises(RequestError):
            open_classifier(str(path), Options(likely_classes=LIKELY, trust_code=trusted))
    assert not (tmp_path / "ran").exists()


def write_vit(folder: Path) -> Path:
    """A tiny ViT with a processor, its weights trained a little to tell the colours."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8,
        id2label=dict(enumerate(LIKELY)), label2id={name: index for index, name in enumerate(LIKELY)},
    )  # fmt: skip
    model = ViTForImageClassification(config)
    colours = torch.tensor([COLOURS[name] for name in LIKELY])[:, :, None, None].expand(3, 3, 16, 16) / 127.5 - 1
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(40):
        optimiser.zero_grad()
        model(pixel_values=colours, labels=torch.arange(3)).loss.backward()
        optimiser.step()
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


def test_a_hugging_face_folder_brings_its_classes_and_its_processor(
    pictures: LabelledSet, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = write_vit(tmp_path / "vit")
    capfd.readouterr()
    assert right(open_classifier(str(folder), Options()), pictures)
    assert "Loading weights" not in capfd.readouterr().err
    (folder / "preprocessor_config.json").unlink()
    found = open_classifier(str(folder), Options())
    assert found.classes == LIKELY and any("mean and std" in remark for remark in found.remarks)


def test_hugging_face_weights_that_are_pickles_are_refused(tmp_path: Path) -> None:
    folder = write_vit(tmp_path / "vit")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(RequestError, match=r"\.safetensors file are wanted"):
        open_classifier(str(folder), Options())


def test_a_function_is_imported_only_where_it_is_trusted(
    pictures: LabelledSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_for_tests.py").write_text(
        "import numpy as np\n"
        "open('imported', 'w').close()\n"
        "def ask(pictures):\n"
        "    return np.stack([np.asarray(item)[..., ::-1].mean(axis=(0, 1)) for item in pictures])\n"
        "ask.classes = ('blue', 'green', 'red')\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match="--trust-code"):
        open_classifier("mine_for_tests:ask", Options())
    assert not (tmp_path / "imported").exists()
    assert right(open_classifier("mine_for_tests:ask", Options(trust_code=True)), pictures)
    with pytest.raises(RequestError, match="cannot be imported"):
        open_classifier("mine_for_tests:nope", Options(trust_code=True))


def test_predictions_made_elsewhere_come_back_as_they_were_written(pictures: LabelledSet, tmp_path: Path) -> None:
    scores = np.random.default_rng(0).dirichlet(np.ones(3), 18)
    path = tmp_path / "said.csv"
    path.write_text(predictions_file.write(pictures, LIKELY, scores))
    np.testing.assert_allclose(open_classifier(str(path), Options()).scores(pictures), scores, atol=1e-8)
    path.write_text(
        "file_name,predicted\n" + "".join(f"{item.label}/{item.path.name},{item.label}\n" for item in pictures.pictures)
    )
    found = open_classifier(str(path), Options())
    assert not found.scored and right(found, pictures)


BROKEN = {  # text of a CSV -> what the error must say
    "name,red\n": "wanted 'file_name'",
    "file_name\n": "wanted 'file_name'",
    "file_name,red,green\na.png,x,1\n": "line 2: wanted a score",
    "file_name,red,green\na.png,-1,1\n": "line 2: wanted a score",
    "file_name,red,green\na.png,nan,1\n": "line 2: wanted a score",
    "file_name,red,green\na.png,0,0\n": "line 2: wanted a score",
    "file_name,red\na.png,1\na.png,1\n": "line 3: 'a.png' is named twice",
    "file_name,predicted\nother.png,red\n": "no row for 18 of 18 pictures",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_table_of_predictions_is_told_by_line(text: str, pictures: LabelledSet, tmp_path: Path) -> None:
    path = tmp_path / "said.csv"
    path.write_text(text)
    with pytest.raises(RequestError, match=BROKEN[text].replace("(", r"\(")):
        open_classifier(str(path), Options()).scores(pictures)


def test_what_is_no_classifier_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no onnx")
    (tmp_path / "weights.h5").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    for spec, words in (
        ("nowhere.onnx", "there is no classifier"), ("broken.onnx", "cannot be opened as ONNX"),
        ("weights.h5", "no classifier that can be opened"), ("empty", "no image classifier of Hugging Face"),
    ):  # fmt: skip
        with pytest.raises(RequestError, match=words):
            open_classifier(str(tmp_path / spec), Options(likely_classes=LIKELY))


def test_outputs_and_classes_must_be_as_many(pictures: LabelledSet, tmp_path: Path) -> None:
    path = str(write_onnx(tmp_path / "toy.onnx", ["n", 3, 16, 16], [2, 3]))
    with pytest.raises(RequestError, match="3 outputs, names no classes, and the labels are 2"):
        open_classifier(path, Options(likely_classes=("a", "b")))
    (tmp_path / "two.txt").write_text("a\nb\n")
    with pytest.raises(RequestError, match="names 2 classes"):
        open_classifier(path, Options(classes_file=tmp_path / "two.txt"))


def test_scores_that_are_no_numbers_or_of_another_shape_are_refused() -> None:
    with pytest.raises(SynthgenError, match="NaN"):
        classifiers.two_dimensional(np.array([[np.nan, 1.0]]), 1, 2, "x")
    with pytest.raises(SynthgenError, match="shape"):
        classifiers.two_dimensional(np.ones((2, 3)), 2, 2, "x")


def test_logits_probabilities_and_a_single_output_become_probabilities() -> None:
    given = np.array([[0.2, 0.8], [0.5, 0.5]])
    np.testing.assert_allclose(classifiers.probabilities(given), given)
    np.testing.assert_allclose(classifiers.probabilities(np.log(given) + 3), given)
    np.testing.assert_allclose(classifiers.probabilities(given[:, 1:]), given)
    np.testing.assert_allclose(classifiers.probabilities(np.array([[0.0], [np.log(3)], [-1e9]]))[1:, 1], [0.75, 0])


def test_a_picture_that_cannot_be_read_stops_the_whole(pictures: LabelledSet, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "no.png").write_bytes(b"no picture")
    path = write_onnx(tmp_path / "toy.onnx", ["n", 3, 16, 16], [2, 3])
    with pytest.raises(RequestError, match=r"no\.png"):
        open_classifier(str(path), Options(likely_classes=LIKELY)).scores(labelled_set.read(tmp_path))


@pytest.mark.parametrize(
    ("text", "words"),
    [("size = -1", "size is -1"), ("mean = [1]", "mean is"), ("std = [0, 1, 1]", "std is"), ("fit = 'x'", "fit is 'x'"),
     ("clases = ['a']", "clases"), ("classes = ['a', 'a']", "more than once"), ("classes = 3", "list")],
)  # fmt: skip
def test_a_broken_classes_file_is_told(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(text)
    with pytest.raises(RequestError, match=words.replace("?", r"\?")):
        class_file.read(path)


def test_a_whole_classes_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "classes.toml"
    path.write_text("classes = ['a', 'b']\nsize = [32, 48]\nmean = [0.5, 0.5, 0.5]\nstd = [1, 1, 1]\nfit = 'pad'\n")
    assert class_file.read(path) == class_file.Input(("a", "b"), (32, 48), (0.5, 0.5, 0.5), (1, 1, 1), "pad")


FAILING = {  # body of a function of a user -> what the error must say
    "return ['red'] * len(pictures)": "could not convert string to float",
    "return 1 / 0": "ZeroDivisionError",
    "return [[1, 2]] * len(pictures)": r"shape \(18, 2\) to 18 pictures; wanted \(18, 3\)",
}


@pytest.mark.parametrize("body", FAILING)
def test_a_function_that_fails_is_told_by_name_and_is_no_bug_of_ours(
    body: str, pictures: LabelledSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"failing_{list(FAILING).index(body)}"
    (tmp_path / f"{module}.py").write_text(f"def ask(pictures):\n    {body}\n")
    monkeypatch.chdir(tmp_path)
    found = open_classifier(f"{module}:ask", Options(likely_classes=LIKELY, trust_code=True))
    with pytest.raises(SynthgenError, match=f"{module}.ask.*{FAILING[body]}"):
        found.scores(pictures)


def test_weights_that_lie_beside_an_onnx_graph_count_in_its_digest(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "toy.onnx", ["n", 3, 16, 16], [2, 3])
    alone = open_classifier(str(path), Options(likely_classes=LIKELY)).sha256
    assert alone == file_hash.sha256(path)
    digests = {alone}
    for weights in (b"one", b"other"):
        (tmp_path / "toy.onnx.data").write_bytes(weights)
        digests.add(open_classifier(str(path), Options(likely_classes=LIKELY)).sha256)
    assert len(digests) == 3
