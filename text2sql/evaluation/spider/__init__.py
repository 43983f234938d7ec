"""What Spider's official scripts say about queries, and the one list of their quirks.

Two programs define the scores: the evaluation script of Spider (https://github.com/taoyds/spider, Yu et
al. 2018, https://arxiv.org/abs/1809.08887) for exact set match and hardness, and the test-suite evaluator
(https://github.com/taoyds/test-suite-sql-eval, Zhong et al. 2020, https://arxiv.org/abs/2010.02840) for
execution accuracy. Whatever either of them says about a query is the verdict here too, so their quirks are
kept: behaviour that is not in the papers, or is plainly a mistake, but changes verdicts.

Rewriting of the queries that are run (rewrite.py)
- Predictions only, unless `keep_value`: every "value" becomes "1", even inside a name or a literal.
- `> =`, `< =` and `! =` lose their blank, even inside a literal.
- Unless `keep_distinct`: of several statements only the first is run, as sqlparse splits them; a lone GO
  ends a statement. DISTINCT is removed, also from `IS DISTINCT FROM`, and so is a column of that name.
- YEAR(CURDATE()) becomes 2020 together with the blanks after it: `YEAR(CURDATE()) FROM t` fails as 2020FROM.

Comparison of results (execution/equivalence.py, case_judge.py)
- Before the comparison, the values of each row are sorted by their text and type. Results that are equal as
  Python compares (1 is 1.0) are rejected if they differ then.
- Order counts if the gold query holds the words ORDER BY with one blank between them, even in a subquery.
- A prediction that is only a comment or a semicolon returns no rows; it is right if the gold returns none.
  A gold query that is only a comment returns no rows too.
- Every SQLite file in the folder of a database whose name ends in ".sqlite", or in that and digits, belongs
  to its test suite (official: every file with ".sqlite" in its name, also a journal or a backup).
- Text that is not UTF-8 loses its invalid bytes.

Plugged values (plug_values.py)
- The query is written anew, with a blank between any two tokens, in lower case except for plugged values,
  without semicolons and tabs, and only up to the end of its first statement.
- Values are texts, in single or double quotes, and numbers. A name of one character and digits (an alias
  such as `a1`) is a value too, unless the character is a t. Wherever such a text or number is between
  blanks there is a slot, in comments too. The word VALUERARE is a slot.
- `T1.*` becomes `*` and blanks after `T1.` are removed; after the rewriting both only occur inside quotes.

Parsing for exact set match and hardness (parser.py)
- Single and double quotes are the same; quoted text is a value, never a name.
- `a=1`, `a-b` and `1,2` are one word each, because the script splits text as NLTK splits English prose.
- A query is read as far as the grammar goes; the rest is ignored. Outside the grammar are, among others,
  DISTINCT ON, CASE, functions except five aggregates, IS NULL, lists after IN, joins by comma,
  aliases without AS, aliases of columns and of subqueries, arithmetic on aggregates and
  parentheses around conditions.
- The first FROM after the start of a query is taken for its own.
- Aliases hold in the whole text, in whichever query they are.
- After a comparison with a bare column (`ON a.x = b.x OR a.x = b.y`), everything up to the next AND,
  comma or clause is lost, including the OR.
- The AND or OR between two conditions may be missing; then the second condition is in the place of a
  connective. Where the script itself would fail because of that, the query is unreadable.
- A tie of foreign keys between two groups of columns joins only the first of them (schema.py).

Exact set match (exact_match.py)
- Subqueries in FROM are compared word by word: values, DISTINCT and each column count.
- Subqueries in conditions are compared in order; DISTINCT and each column count, values do not.
- ON conditions count only by their keywords (OR, NOT, IN, LIKE), the tables of FROM only by name.
- GROUP BY is compared by the names of the columns without their tables, except together with HAVING.
- Where two conditions have no AND or OR between them, the second counts as a connective.
- The two totals of the part "and/or" are swapped.
- The tables of the first SELECT decide which columns are tied by foreign keys in all parts of a compound.
- The F1 of a component is 100 % if it is never right (scores.py).

Hardness (hardness.py)
- Only the outermost query is counted, and of a compound only its first SELECT. A chain of set
  operations counts once; a subquery in FROM counts as one table, whatever it holds.
- Each NOT of a condition, and each AND and OR of HAVING, counts as an aggregate; aggregates inside
  HAVING do not.
- Two of component 1 with two others are "extra", although two with three others are "hard".

Deliberate differences, where the official scripts crash, do harm or never end
- An empty prediction is wrong, with the error `empty` (official: crash; with `keep_distinct`, right if the
  gold returns no rows, as here).
- Text of more than 10,000 tokens, or of none, is run without the rewriting that needs tokens; brackets may
  be nested more than 100 deep (official: crash). There are no plugged values for such text.
- A gold query that fails, and a missing database, give no verdict and are reported (official: the run
  ends; a missing database is created).
- For a gold query that the parser cannot read, exact set match is null, and hardness follows the plain
  meaning of its rules (official: the run ends).
- Two different subqueries in one FROM, and a condition with a subquery in the place of a connective, are
  compared all the same (official: the run ends).
- Only reading is allowed; time, rows and memory are limited (execution/sandbox.py, pool.py). Statements after
  the first are never run; the error is then `denied`.
- Plugged values that SQLite's compiler would refuse for the same reason as others are skipped.
- Of NLTK, rules for quotes within words and for contractions (cannot, gonna) are left out: no query has
  them. Where its trained model distinguishes the end of a sentence from an abbreviation, here every period
  before white space ends a sentence.

Not done: the turn and interaction scores of SParC and CoSQL.
"""
