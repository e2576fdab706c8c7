"""The folder that a run hands over: what others load from it, whose files it replaces; whole or absent."""

import json
import os
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
)

from afterbase.core.errors import UserError
from afterbase.core.sample import conversation, write_samples
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.base_model import import_base
from afterbase.model.attention import Segments
from afterbase.model.folders import find
from afterbase.model.load import LanguageModel, load, save
from afterbase.model.stop import stop_token_ids
from afterbase.report import model_folder
from afterbase.report.model_folder import refuse_foreign, write_model_folder
from afterbase.reward.scalar import load_reward_model, new_reward_model, save_reward_model
from afterbase.train.config import Sft
from afterbase.train.sft import train_sft
from toys import toy_samples
from zoo import WIDTHS

RECIPE = 'kind = "sft"\nname = "mine"\nbase = "toy"\n'


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def tuned(store: Store, base: Path, *, adapter: bool = False) -> Artifact:
    """A model of the stage `sft`, as the base computes."""

    def make(work: Workspace) -> None:
        save(load(base), work.payload)
        for path in work.payload.iterdir():
            path.chmod(0o600)  # as safetensors leaves its files
        (work.payload / "data.json").write_text("{}")
        if adapter:
            (work.payload / "adapter").mkdir()
            (work.payload / "adapter" / "adapter_config.json").write_text('{"peft_type": "LORA"}')
            (work.payload / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")

    inputs = {"model": import_base(store, base)}
    return store.produce("SFT", "sft", 1, what={"epochs": 2, "adapter": adapter}, inputs=inputs, make=make)


@torch.no_grad()
def logps_of(lm: LanguageModel, ids: list[int]) -> torch.Tensor:
    return lm.logits(lm.hidden(torch.tensor(ids), Segments.of([len(ids)]))).log_softmax(-1)


def hand_over(made: Artifact, folder: Path, store: Store, *, recipe: str = RECIPE, adapter: bool = False) -> Path:
    write_model_folder(
        made, folder, store=store, recipe_text=recipe, results=["solved: 0.5 [0.4, 0.6]"], adapter=adapter
    )
    return folder


@pytest.mark.parametrize("base", ["toy", "tiny-v3"])
def test_others_load_the_model_that_was_trained(base, store, toy_folder, tmp_path):
    made = tuned(store, toy_folder if base == "toy" else find(base))
    folder = hand_over(made, tmp_path / "out" / "model", store)
    ours, tokenizer = load(folder), AutoTokenizer.from_pretrained(folder)
    theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "1+1?"}], add_generation_prompt=True)["input_ids"]
    logps = [logps_of(load(made.payload), ids), logps_of(ours, ids)]
    with torch.no_grad():
        logps.append(theirs(torch.tensor([ids])).logits[0].log_softmax(-1))
    for one in logps[1:]:
        torch.testing.assert_close(one, logps[0], atol=1e-5, rtol=1e-6)  # of -17 nats, float32 has 1e-6
    assert ours.mtp is not None
    settings = GenerationConfig.from_pretrained(folder)
    stops = settings.eos_token_id if isinstance(settings.eos_token_id, list) else [settings.eos_token_id]
    assert tuple(stops) == stop_token_ids(ours)
    assert settings.do_sample
    assert settings.temperature == pytest.approx(0.7)
    assert not (folder / "data.json").exists()


def test_its_files_have_the_modes_of_any_new_file(store, toy_folder, tmp_path):
    before = os.umask(0o027)
    try:
        folder = hand_over(tuned(store, toy_folder), tmp_path / "model", store)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o640}
    assert folder.stat().st_mode & 0o777 == 0o750


def test_a_later_run_of_the_same_name_replaces_it(store, toy_folder, tmp_path):
    made = tuned(store, toy_folder)
    folder = hand_over(made, tmp_path / "model", store)
    first = sorted(folder.iterdir())
    hand_over(made, folder, store)
    assert sorted(folder.iterdir()) == first
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


@pytest.mark.parametrize("theirs", ["notes.txt", "another run"])
def test_what_the_run_did_not_write_is_not_touched(theirs, store, toy_folder, tmp_path):
    made = tuned(store, toy_folder)
    folder = hand_over(made, tmp_path / "model", store)
    if theirs == "notes.txt":
        (folder / theirs).write_text("mine")
    before = sorted(folder.iterdir())
    with pytest.raises(UserError, match="new or an empty folder") as error:
        hand_over(made, folder, store, recipe=RECIPE if theirs == "notes.txt" else RECIPE.replace("mine", "other"))
    assert theirs in error.value.got or "`mine`" in error.value.got
    assert sorted(folder.iterdir()) == before


def test_a_file_in_its_place_is_refused(store, toy_folder, tmp_path):
    (tmp_path / "model").write_text("mine")
    with pytest.raises(UserError, match="a file"):
        hand_over(tuned(store, toy_folder), tmp_path / "model", store)


def test_a_place_where_no_folder_can_be_made_is_refused_before_there_is_a_model(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file/model", tmp_path / "file/more/model"):
        with pytest.raises(UserError, match="beside its folder"):
            refuse_foreign(folder, run="mine")
    refuse_foreign(tmp_path / "some/model", run="mine")
    assert [*(tmp_path / "some").iterdir()] == []
    (tmp_path / "mounted").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: path.name == "mounted")
    with pytest.raises(UserError, match="mounted folder") as refused:
        refuse_foreign(tmp_path / "mounted", run="mine")
    assert str(tmp_path / "mounted/model") in refused.value.remedy


def test_a_full_disk_leaves_the_earlier_model_and_no_half(store, toy_folder, tmp_path, monkeypatch):
    made = tuned(store, toy_folder)
    folder = hand_over(made, tmp_path / "model", store)

    def full(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:100])
        if target.name == "tokenizer.json":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_folder, "_copy", full)
    with pytest.raises(OSError, match="No space left"):
        hand_over(made, folder, store)
    with pytest.raises(OSError, match="No space left"):
        hand_over(made, tmp_path / "new", store)
    assert load(folder).tokenizer
    assert not (tmp_path / "new").exists()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_model_that_was_being_replaced_when_the_power_went_is_there_again(store, toy_folder, tmp_path, monkeypatch):
    made = tuned(store, toy_folder)
    folder = hand_over(made, tmp_path / "model", store)
    folder.rename(tmp_path / ".model.afterbase-old")
    monkeypatch.setattr(model_folder, "_copy", lambda source, target: os.open(tmp_path / "absent", os.O_RDONLY))
    with pytest.raises(FileNotFoundError):
        hand_over(made, folder, store)
    assert load(folder).tokenizer


def test_an_adapter_comes_alone_with_the_tokenizer(store, toy_folder, tmp_path):
    folder = hand_over(tuned(store, toy_folder, adapter=True), tmp_path / "model", store, adapter=True)
    assert (folder / "adapter_model.safetensors").read_bytes() == b"weights"
    assert not (folder / "config.json").exists()
    assert AutoTokenizer.from_pretrained(folder).chat_template


def test_a_trained_adapter_on_its_base_is_the_merged_model(store, toy_tokenizer, tmp_path):
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    shape = LlamaConfig(**{**WIDTHS, "vocab_size": len(toy_tokenizer)})
    save(LanguageModel(AutoModelForCausalLM.from_config(shape), toy_tokenizer, None), tmp_path / "base")

    def rows(work: Workspace) -> None:
        write_samples(work.payload / "samples.parquet", toy_samples(12))

    data = store.produce("rows", "own_samples", 1, what={}, inputs={}, make=rows)
    config = Sft.model_validate(
        {"epochs": 1, "row_tokens": 64, "rows_per_step": 1, "lora": {"rank": 2},
         "optimisation": {"learning_rate": 1e-2, "warmup_steps": 0}}
    )  # fmt: skip
    made = train_sft(store, "SFT", import_base(store, tmp_path / "base"), data, config, seed=0)
    recipe = f'name = "mine"\nbase = "{tmp_path / "base"}"\n'
    adapter = hand_over(made, tmp_path / "adapter", store, recipe=recipe, adapter=True)
    whole = hand_over(made, tmp_path / "whole", store, recipe=recipe)
    ids = torch.tensor([[5, 6, 7, 8, 9, 10]])
    with torch.no_grad():
        alone, beside = (
            peft.AutoPeftModelForCausalLM.from_pretrained(at)(ids).logits for at in (adapter, whole / "adapter")
        )
        plain, merged = (AutoModelForCausalLM.from_pretrained(at)(ids).logits for at in (tmp_path / "base", whole))
    torch.testing.assert_close(alone, merged, atol=1e-5, rtol=1e-5)
    assert torch.equal(alone, beside)
    assert (merged - plain).abs().max() > 1e-3
    assert not (adapter / "model.safetensors").exists()


def test_an_adapter_that_was_not_trained_is_refused(store, toy_folder, tmp_path):
    with pytest.raises(UserError, match="without LoRA"):
        hand_over(tuned(store, toy_folder), tmp_path / "model", store, adapter=True)
    assert not (tmp_path / "model").exists()


def test_the_mark_says_which_run_wrote_it(store, toy_folder, tmp_path):
    made = tuned(store, toy_folder)
    folder = hand_over(made, tmp_path / "model", store)
    mark = json.loads((folder / "afterbase.json").read_text())
    assert (mark["run"], mark["key"], mark["digest"]) == ("mine", made.key, made.digest)
    assert set(mark["files"]) == {p.name for p in folder.iterdir()} - {"afterbase.json"}


def test_a_reward_model_gives_others_its_scores(store, toy_tokenizer, tmp_path):
    torch.manual_seed(0)
    shape = LlamaConfig(**{**WIDTHS, "vocab_size": len(toy_tokenizer)})
    rm = new_reward_model(LanguageModel(AutoModelForCausalLM.from_config(shape).eval(), toy_tokenizer, None))
    torch.nn.init.normal_(rm.head.weight)
    made = store.produce(
        "reward model", "reward_model", 1, what={}, inputs={}, make=lambda work: save_reward_model(rm, work.payload)
    )
    folder = hand_over(made, tmp_path / "model", store)
    talk = conversation("1+1?", "2")
    theirs = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    ids = AutoTokenizer.from_pretrained(folder).apply_chat_template(talk, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        assert theirs(**ids).logits.item() == pytest.approx(rm.score([talk])[0], abs=1e-4)
    assert load_reward_model(folder).score([talk]) == pytest.approx(rm.score([talk]), abs=1e-5)
    card = (folder / "README.md").read_text()
    assert "pipeline_tag: text-classification" in card
    assert "AutoModelForSequenceClassification" in card
