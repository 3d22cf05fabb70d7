# expect: CODE_FAILED
# Calls itself for ever.
def f():
    f()
f()
