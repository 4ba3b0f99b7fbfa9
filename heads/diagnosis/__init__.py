"""Why a fusion fails, from features and predictions; and what mends it."""
