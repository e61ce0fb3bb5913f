"""The fixture hub (tests/hub) as a program for the browser's tests: serves the demo model as a repository.

    python3 demo_hub.py MODEL_FOLDER [BYTES_PER_S]

Prints its address on a line, and ends when its input does."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "hub"))
from fixture_hub import FixtureHub, Repository, small_model  # noqa: E402


def folder_repository(folder, **keywords):
    files = {}
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            with open(path, "rb") as file:
                files[name] = file.read()
    size = sum(len(data) for name, data in files.items() if name.endswith(".safetensors"))
    return Repository(files, extra={"tags": ["mlx", "text-generation", "license:apache-2.0"], "usedStorage": size,
                                    "downloads": 5000, "likes": 40, "pipeline_tag": "text-generation"}, **keywords)


def main():
    folder = sys.argv[1]
    demo = folder_repository(folder)
    other = small_model(seed=4, extra={"tags": ["mlx", "text-generation"], "downloads": 100, "usedStorage": 3_000_000})
    other.files["chat_template.jinja"] = (b"{% for message in messages %}{{ message.content }}{% endfor %}"
                                             b"{% if enable_thinking is defined and enable_thinking is false %}no thoughts{% endif %}")
    gated = small_model(extra={"tags": ["mlx", "text-generation"], "gated": "manual", "downloads": 9000,
                               "usedStorage": 3_000_000}, gated=True, token="hf_none")
    huge = small_model(seed=2, extra={"tags": ["mlx", "text-generation"], "downloads": 8000,
                                      "usedStorage": 5_000_000_000_000})
    foreign = small_model(seed=3, extra={"tags": ["mlx", "text-generation"], "downloads": 7000, "usedStorage": 3_000_000,
                                         "config": {"model_type": "an-architecture-of-tomorrow"}})
    hub = FixtureHub({"demo/" + os.path.basename(folder): demo, "demo/tiny-llama": other,
                      "org/gated": gated, "org/huge": huge, "org/foreign": foreign})
    if len(sys.argv) > 2:
        hub.bytes_per_s = int(sys.argv[2])
    print(hub.url, flush=True)
    sys.stdin.read()
    hub.close()


if __name__ == "__main__":
    main()
