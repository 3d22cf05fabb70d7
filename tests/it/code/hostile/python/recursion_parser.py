# expect: CODE_SYNTAX or CODE_FAILED or CODE_MEMORY_EXCEEDED
# Nests deeper than the parser goes.
eval('(' * 100_000 + ')' * 100_000)
