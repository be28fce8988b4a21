"""A run on mixed, streamed data, evaluated set by set."""

import json
import shutil

from fttui_engine.train.data import cache


def test_mixed_and_streamed_data_goes_on_exactly_even_without_its_cache(worker, tmp_path):
    paths = []
    for name, count in (("a", 20), ("b", 30), ("exam", 5), ("test", 4)):
        paths.append(tmp_path / f"{name}.jsonl")
        records = [{"prompt": f"{name} {number}", "completion": f"yes {number}"} for number in range(count)]
        paths[-1].write_text("".join(json.dumps(record) + "\n" for record in records))
    values = {
        "dataset": [str(path) for path in paths[:2]],
        "eval_dataset": [str(path) for path in paths[2:]],
        "eval_on_each_dataset": True,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "mix_strategy": "interleave_over",
        "interleave_probs": ["0.3", "0.7"],
        "streaming": True,
        "buffer_size": 8,
        "max_steps": 4,
        "save_steps": 2,
        "per_device_train_batch_size": 2,
    }
    straight = worker("straight", **values)
    assert straight.finish().result == "finished"
    evaluations = [point for point in straight.metrics() if "eval_loss" in point]
    assert [point["step"] for point in evaluations] == [2, 4]
    for point in evaluations:
        assert point["eval_loss"] == (point["eval_exam_loss"] + point["eval_test_loss"]) / 2

    shutil.rmtree(cache.cache_folder())
    resumed = worker("resumed", **values)
    resumed.output_dir.mkdir()
    checkpoint = resumed.output_dir / "checkpoint-2"
    shutil.copytree(straight.output_dir / "checkpoint-2", checkpoint)
    assert resumed.finish(resume_from=checkpoint).result == "finished"
    losses = {point["step"]: point["loss"] for point in straight.metrics() if "loss" in point}
    again = {point["step"]: point["loss"] for point in resumed.metrics() if "loss" in point}
    assert again == {step: losses[step] for step in (3, 4)}
    assert resumed.metrics()[-1]["eval_exam_loss"] == evaluations[-1]["eval_exam_loss"]
