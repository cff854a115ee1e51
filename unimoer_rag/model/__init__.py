"""What UniMoER is: a frozen backbone, routed experts, a head for each task.

Knows torch and transformers, and nothing of retrieval.
"""
