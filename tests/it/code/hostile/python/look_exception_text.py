# expect: CODE_FAILED
# Raises what cannot be printed.
class Odd(Exception):
    def __str__(self):
        raise SystemExit(0)
raise Odd()
