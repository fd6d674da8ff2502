"""Steps applied to pools of pairs: cached row steps, corpus steps, decisions."""
