"""TRL's GRPO trains on a reward of texts that Plaudit learned; it needs `pip install trl` and the extra `language`."""

import json
import os

from datasets import Dataset  # pyright: ignore[reportMissingImports]
from trl import GRPOConfig, GRPOTrainer  # pyright: ignore[reportMissingImports]

import plaudit

RUN = os.environ.get("RUN", "runs/chat")  # a run of plaudit train chat, or of plaudit tune reward
MODEL = os.environ.get("MODEL", f"{RUN}/sft")  # the model to improve
SETTINGS = json.loads(os.environ.get("SETTINGS", "{}"))  # of GRPOConfig, such as {"max_steps": 2}

questions = ["What is a good breakfast?", "Why is the sky blue?", "How do I learn to swim?", "Who invented paper?"]
prompts = Dataset.from_dict({"prompt": [[{"role": "user", "content": question}] for question in questions]})

score = plaudit.load_reward(RUN)
options = {"max_steps": 50, "num_generations": 4, "per_device_train_batch_size": 8, "max_completion_length": 48}
config = GRPOConfig("runs/example-trl", report_to="none", **(options | SETTINGS))
trainer = GRPOTrainer(MODEL, reward_funcs=score, args=config, train_dataset=prompts)
trainer.train()

rewards = [row["reward"] for row in trainer.state.log_history if "reward" in row]
print(f"learned reward in the first and the last logged step: {rewards[0]:.2f} and {rewards[-1]:.2f}")
