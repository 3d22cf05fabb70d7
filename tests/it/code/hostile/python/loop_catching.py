# expect: CODE_CPU_EXCEEDED
# Never ends, whatever is thrown at it.
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
