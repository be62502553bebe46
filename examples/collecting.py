"""People compare two models' responses in the browser, and their judgements become a file for DPO.

The page opens where there is a browser; the address is printed. It needs the extra `serve`.
"""

import plaudit

RESPONSES = {
    "Explain tides.": ["The moon pulls the seas towards it.", "Water moves up and down."],
    "What is yeast?": ["A fungus that makes dough rise.", "Yeast is something for bread."],
}

with plaudit.collect("collect") as app:
    for prompt, pair in RESPONSES.items():
        app.compare(prompt, pair, models=["large", "small"])
    app.demonstrate("How do I boil an egg?")
    app.wait()  # until all are answered; Ctrl-C keeps what has been said
    print(f"{app.export('pairs.jsonl')} pairs in pairs.jsonl")
    for row in app.judgements("demonstration"):
        print(row["annotator"], "wrote", row["answer"])
