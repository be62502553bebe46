"""A language model is fine-tuned, learns a reward from judgements by a rule, and is improved by PPO.

With the default model (135 million parameters) it takes about 12 minutes on two cores and needs the extra `language`.
"""

import json
import os

import plaudit

SETTINGS = json.loads(os.environ.get("SETTINGS", "{}"))  # such as {"rounds": 1}, for a shorter trial

run = plaudit.train("chat", annotator="rule:explanation", labels=96, out="runs/example-language", **SETTINGS)
print(f"see {run.folder / 'report.html'}; transformers loads the model from {run.folder / 'policy'}")

score = plaudit.load_reward(run)
prompt = "What is a good breakfast?"
responses = ["Oats with fruit.", "There are many things that one could say about breakfast, and I will begin with"]
for response, reward in zip(responses, score.score([prompt] * 2, responses), strict=True):
    print(f"{reward:6.2f}  {response}")
