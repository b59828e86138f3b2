"""One file a family: `recipe(tokenizer) -> Recipe`. The file's name is transformers' `model_type`."""
