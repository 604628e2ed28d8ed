"""Whether a text is one query that only reads, judged by its tokens and its syntax tree.

This is the first of the two walls around the `sql` tool. The second is the database's own (`sql_sqlite`,
`sql_postgres`), and neither relies on the other. What is not known to be harmless is refused here: there is a list of
the functions that a model may call, and none of those that it may not.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from stillhouse.errors import MissingExtraError
from stillhouse.flow.tools.tool import ToolError, clean

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.tokenizer_core import Token

SqlDialect = Literal["sqlite", "postgres"]
MAX_QUERY_CHARS = 20_000

# Functions that a model may call: in both databases, then in each alone.
_COMMON = """
    abs avg ceil ceiling char_length character_length coalesce concat concat_ws count cume_dist current_date
    current_time current_timestamp dense_rank exp first_value floor greatest lag last_value lead least length ln log
    log10 lower ltrim max min mod nth_value ntile nullif octet_length percent_rank pi pow power radians degrees rank
    replace round row_number rtrim sign sqrt string_agg substr substring sum trim trunc upper sin cos tan asin acos
    atan atan2 json_object json_array
"""
_SQLITE = """
    bm25 char date datetime glob group_concat hex highlight if ifnull iif instr json json_array_length json_each
    json_extract json_group_array json_group_object json_insert json_patch json_quote json_remove json_replace
    json_set json_tree json_type json_valid julianday like likelihood likely unlikely log2 match median quote random
    regexp snippet sqlite_version strftime time timediff total typeof unicode unixepoch -> ->>
"""
_POSTGRES = """
    age any_value array array_agg array_append array_cat array_length array_position array_remove array_to_string
    ascii bool_and bool_or bit_and bit_or btrim cardinality chr clock_timestamp corr covar_pop covar_samp date_bin
    date_part date_trunc decode div encode every extract generate_series generate_subscripts gcd initcap isfinite
    json_agg json_array_elements json_array_elements_text json_array_length json_build_array json_build_object
    json_each json_each_text json_extract_path json_extract_path_text json_object_agg json_object_keys json_typeof
    jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object
    jsonb_each jsonb_each_text jsonb_extract_path jsonb_extract_path_text jsonb_object_agg jsonb_object_keys
    jsonb_path_exists jsonb_path_query jsonb_typeof justify_days justify_hours justify_interval lcm left localtime
    localtimestamp make_date make_interval make_time make_timestamp make_timestamptz md5 mode now num_nonnulls
    num_nulls overlay percentile_cont percentile_disc plainto_tsquery phraseto_tsquery position random regexp_count
    regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regr_count
    regr_intercept regr_r2 regr_slope reverse right row row_to_json similarity split_part starts_with
    statement_timestamp stddev stddev_pop stddev_samp string_to_array string_to_table strpos timezone to_char to_date
    to_json to_jsonb to_number to_timestamp to_tsquery to_tsvector transaction_timestamp translate ts_rank unaccent
    unnest variance var_pop var_samp websearch_to_tsquery width_bucket
"""
HARMLESS: dict[SqlDialect, frozenset[str]] = {
    "sqlite": frozenset((_COMMON + _SQLITE).split()),
    "postgres": frozenset((_COMMON + _POSTGRES).split()),
}

# Words that may stand before a parenthesis without being a function: syntax, and types with a length.
_KEYWORDS = """
    all and any array as between by case cast char character cross cube current distinct else end except exists filter
    following from full group grouping having in inner intersect is isnull join lateral left like ilike limit
    materialized natural not notnull nulls offset on or order outer over partition preceding range recursive right
    rollup rows select sets similar some then timestamp to try_cast union using values varying when where window with
    within escape glob regexp bigint bit bool boolean bpchar date decimal double dec float int integer interval json
    nchar numeric precision real smallint text time timestamptz timetz varbit varchar
"""
_SYNTAX = frozenset(_KEYWORDS.split())
_SPOKEN = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
# Prefixes of the names of the database's own tables, which hold files, sessions and passwords.
_OWN_TABLES = {"sqlite": ("pragma_", "sqlite_", "dbstat"), "postgres": ("pg_",)}


def vetted(query: str, dialect: SqlDialect) -> str:
    """The query as it may be run: its tokens alone, without comments.

    Raises ToolError saying what stands against it, MissingExtraError without sqlglot.
    """
    try:
        import sqlglot
        from sqlglot.errors import SqlglotError
    except ImportError:
        raise MissingExtraError(
            "the sql tool vets queries with sqlglot, which is not installed; pip install 'stillhouse[tools]'"
        ) from None
    if len(query) > MAX_QUERY_CHARS:
        raise ToolError(f"the query has {len(query):,} characters; at most {MAX_QUERY_CHARS:,} are taken")
    if "\0" in query or clean(query) != query:
        raise ToolError(
            "the query holds a character that no database takes (a NUL or half of a surrogate pair); leave it out"
        )
    try:
        kept = _statement(query, sqlglot.tokenize(query, dialect=dialect))
        tree = sqlglot.parse_one(kept, dialect=dialect)
        tokens = sqlglot.tokenize(kept, dialect=dialect)
    except SqlglotError as error:
        remedy = f"write one SELECT for {_SPOKEN[dialect]}"
        raise ToolError(f"the query is not understood ({_problem(error)}); {remedy}") from None
    except RecursionError:
        raise ToolError("the query is nested too deeply; write a simpler one") from None
    _check_tree(tree, dialect)
    _check_calls(kept, tokens, tree, dialect)
    return kept


def _statement(query: str, tokens: Sequence["Token"]) -> str:
    """The one statement's own tokens.

    So the database gets what was looked at here, and nothing that only one of the two takes for a comment.
    """
    kinds = [token.token_type.name for token in tokens]
    while kinds and kinds[-1] == "SEMICOLON":
        kinds.pop()
    if not kinds:
        raise ToolError("the query is empty; write one SELECT")
    if kinds[0] not in ("SELECT", "WITH", "L_PAREN"):
        raise ToolError(f"the query begins with {tokens[0].text[:40].upper()}; only a SELECT is run")
    if "SEMICOLON" in kinds:
        raise ToolError("the query is more than one statement; write one SELECT")
    parts, end = [], tokens[0].start
    for token in tokens[: len(kinds)]:
        parts.append((" " if token.start > end else "") + query[token.start : token.end + 1])
        end = token.end + 1
    return "".join(parts)


def _check_tree(tree: "exp.Expr", dialect: SqlDialect) -> None:
    from sqlglot import exp

    if not isinstance(tree, exp.Select | exp.SetOperation | exp.Subquery):
        raise ToolError(f"the query is {type(tree).__name__.upper()}; only a SELECT is run")
    for node in tree.walk():
        if isinstance(node, exp.DML | exp.DDL | exp.Command | exp.Into | exp.Lock):
            what = "FOR UPDATE or another lock" if isinstance(node, exp.Lock) else type(node).__name__.upper()
            raise ToolError(f"the query holds {what}; only a SELECT that reads is run")
        if isinstance(node, exp.CTE) and not isinstance(node.this, exp.Query):
            raise ToolError(f"the query holds {type(node.this).__name__.upper()}; only a SELECT that reads is run")
        if isinstance(node, exp.Table):
            name, schema = node.name.lower(), node.db.lower()
            if name.startswith(_OWN_TABLES[dialect]) or schema == "pg_catalog":
                raise ToolError(
                    f"the table {name or schema} is the database's own and is not read; "
                    "the tables are in the tool's description"
                )


def _check_calls(query: str, tokens: Sequence["Token"], tree: "exp.Expr", dialect: SqlDialect) -> None:
    """Every name before a parenthesis must be syntax, a harmless function, or a name that the query itself gives.

    The last is as in `WITH name (column) AS ...`.
    """
    from sqlglot import exp

    aliases = (alias for alias in tree.find_all(exp.TableAlias) if alias.this is not None and alias.columns)
    own_names = {alias.this.meta.get("start") for alias in aliases}
    for before, token, following in zip([None, *tokens], tokens, tokens[1:], strict=False):
        written = query[token.start : token.end + 1]
        if following.token_type.name != "L_PAREN" or not re.search(r"[\w'\"`]", written) or token.start in own_names:
            continue
        quoted = written[0] in "'\"`["
        name = token.text if quoted else written.lower().split()[-1]  # a token such as ORDER BY holds two words
        qualified = before is not None and before.token_type.name == "DOT"
        if qualified or not (name in HARMLESS[dialect] or (not quoted and name in _SYNTAX)):
            function = f"the function {name[:60]}{' of another schema' if qualified else ''}"
            raise ToolError(f"{function} is not one that a query may call here; do without it")


def _problem(error: Exception) -> str:
    """sqlglot's complaint in one line, without the colours that it puts in for terminals."""
    text = str(error).partition("\n")[0]
    if problems := getattr(error, "errors", None):
        first = problems[0]
        text = f"{first['description']} at line {first['line']}, column {first['col']}"
    return clean(re.sub(r"\x1b\[[0-9;]*m", "", text))[:200].rstrip(".")
