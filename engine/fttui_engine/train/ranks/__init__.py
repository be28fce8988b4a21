"""Several processes that train one model: starting them, agreeing among them, dividing the weights."""
