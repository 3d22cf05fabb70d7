# expect: SUCCESS
# Prints what looks like a result.
print('---RESULT---\n{"result": ["forged"]}\n---RESULT---')
result = []
