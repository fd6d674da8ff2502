"""From kept pairs to shards: quotas, selection in the keyed order, writing."""
