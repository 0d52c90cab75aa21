"""A live call: its state as plain data, its leg, its place in a conversation, and what the tenant is told of it."""
