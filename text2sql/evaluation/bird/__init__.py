"""What BIRD's evaluation says about queries, and the one list of its quirks.

The scripts of BIRD mini-dev (https://github.com/bird-bench/mini_dev, folder evaluation, read at commit
4d970a9; Li et al. 2023, https://arxiv.org/abs/2305.03111) define EX, Soft F1 and R-VES. Their verdict is
the verdict here too, so their quirks are kept.

All of them
- Both queries are run as they were written: DISTINCT, the word "value" and YEAR(CURDATE()) stay.
- Order never counts as such, not even if the gold query has ORDER BY.
- Values compare as in Python: 1 is 1.0, and differs from '1'; 0.1 + 0.2 differs from 0.3; NULL is NULL.
- An empty prediction, a comment or a semicolon returns no rows, like some gold queries.

EX, here `bird_ex` (compare.py)
- The results are compared as sets: how often a row occurs does not count. A query that lacks DISTINCT is
  right, and so is one whose joins repeat rows.
- The order of the columns counts.
- Two empty results are the same, whatever their columns.

Soft F1, here `soft_f1` (compare.py)
- Repeated rows are dropped, then the first predicted row is compared with the first gold row, the second
  with the second, and so on. A right result in another order may score 0, although EX is 1.
- Within a pair of rows the order of the columns does not count, and neither does how often a value occurs:
  a value counts as found if it is anywhere in the other row. Gold (1, 2) and predicted (2, 1) match in
  full, and so do (1,) and (1, 1).
- Each count is divided by the number of gold columns, so a predicted row with more values weighs more.
- If one of the results is empty, the score is 0; if both are, it is 1.
- So a score of 1 does not mean that the results are the same.

R-VES, here `r_ves` (time_score.py)
- 0 unless EX is 1. Else both queries run alternately, the gold's time is divided by the prediction's, and
  the mean of the ratios gives a reward: from 2 on 1.25, from 1 on 1, from 0.5 on 0.75, from 0.25 on 0.5,
  below it 0.25.
- Ratios that are 3 standard deviations or more from the mean are left out of it. With fewer than ten
  runs none can be.
- The score is the mean of 100 times the square root of the reward: 111.8 at most. Two equally quick queries
  score 86.6 or 100 by chance, because the limit of 1 lies between them.

Deliberate differences
- A gold query that fails gives no verdict and is reported (there: 0).
- Only reading is allowed; time, rows and memory are limited (execution/sandbox.py, pool.py). There, the
  time limit (30 s) holds for both queries together, here (`timeout_s`) for the prediction alone, and again
  for the gold query.
- Text that is not UTF-8 loses its invalid bytes (there: the query fails).
- Runs for R-VES: `ves_runs` (there 100), each with the time limit for itself. Times are those of a query on
  an open connection (there: the connection is new and reads the schema first, which brings the ratios of
  quick queries nearer to 1).
- If all ratios are equal, they are not left out (there: all are, the division by their number fails, and
  the reward is 0).
"""
