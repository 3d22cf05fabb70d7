# expect: CODE_CPU_EXCEEDED
# Never ends.
while True:
    pass
