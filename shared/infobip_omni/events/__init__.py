"""The events and answers of functions: one module for each function.

So a cold start of one function does not build the models of another. The bodies of Infobip's API
are in `api`; the envelopes of AWS are parsed where they are used.
"""
