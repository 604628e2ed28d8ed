"""Whether a sentence gives a label as its answer.

No list of words that deny is ever complete, in one language or in all. So the question is turned round: only the forms
in which an answer is given are known ("spam", "Answer: spam", "I think it is spam", "spam, because ..."). What stands
in another sentence may mean the opposite, and is not read.
"""

import re

_MARKUP = re.compile(r"</?\w+>|[*_`\"~()\[\]{}<>|#•]+|\\(?:boxed|text|textbf|mathrm|mathbf)|(?<!\w)['-]+|['-]+(?!\w)")
_ARROW = re.compile(r"[-=]+>|[→⇒=]|(?<=\s)[–—-]+(?=\s|$)")
_LETTER = re.compile(r"^\W*(?:[a-z]|\d{1,2})[:.)]+\s|\((?:[a-z]|\d{1,2})\)")  # of a choice: "(b) Rome"
_SENTENCE = re.compile(r"[.!?](?=\s|$)|[;\n。！？；؟।]|\.\.\.|…")
_CLAUSE = re.compile(
    r", (?=(?:so|therefore|thus|hence|i|which means|the answer)\b)|"
    r"^(?:based on|given|considering|according to|since|because|as|after|in)\b[^:]*, "
)
_ARTICLES = frozenset(("a", "an", "the", "un", "une", "ein", "eine", "el", "la", "le", "il", "uma", "um", "een", "et"))
_STOPS = frozenset(("", *"\n.!;。！；"))
_ARTICLE = r"(?:(?:an?|the|une?|des|du|de\ la|le|la|l|eine?n?|der|die|das|el|los|las|il|lo|uma?|een|het|et)\ )"
_SURELY = r"""(?:(?:clearly|probably|likely|most\ likely|most\ probably|very\ likely|definitely|certainly
    |obviously|indeed
    |simply|just|also|therefore|thus|overall|rather|mostly|best|most|very|more|both|
    |wohl|wahrscheinlich|eindeutig|klar|sicher|probablement|clairement|probablemente|claramente
    |probabilmente)\ )"""
# Headings of an answer. A heading of another kind may be "Ruled out:".
_HEADING = r"""(?:answer|ans|label|labels|category|class|classification|classified|intent|topic|sentiment
    |language|rating
    |score|grade|level|rank|stars|type|kind|genre|tone|emotion|mood|polarity|stance|verdict|decision|result
    |prediction
    |predicted|conclusion|output|response|option|choice|pick|selection|selected|chosen|winner|value|number
    |letter|priority
    |urgency|severity|status|relation|relationship|entailment|solution|final|guess|domain|subject|department
    |team|queue
    |tag|name|judgement|judgment|assessment|evaluation|my|here|is
    |antwort|kategorie|klasse|ergebnis|sprache|bewertung|réponse|catégorie|classe|étiquette|langue|respuesta
    |categoría
    |clase|etiqueta|idioma|risposta|categoria|resposta|rótulo|cevap|kategori|etiket|ответ|категория|класс|метка
    |відповідь|odpowiedź|kategoria|odpověď|antwoord|categorie|svar|الإجابة|الجواب|التصنيف)"""
_HEADED = rf"""(?:(?:the|my|your|final|correct|best|right|predicted|overall|\w+'?s?)\ )?(?:\w+\ )?
    {_HEADING}(?:\ is|\ ist)?"""
_SPEAKER = r"""(?:i(?:'d|'ll|\ would|\ will)?\ (?:also\ )?(?:think|believe|say|guess|conclude|answer|choose
    |chose|pick|picked|select
    |go\ with|go\ for|give|give\ it|rate|rate\ it|label\ it|label\ this|classify\ it\ as|classify\ this\ as
    |label\ it\ as
    |label\ this\ as|call\ it|call\ this|rate\ this)(?:\ that)?\ )"""
_SUBJECT = r"""(?:it|this|that|he|she|they|these|those
    |(?:the|this|my|your|its|his|her|their|our)\ (?:(?!that\ |which\ |who\ |what\ |if\ 
    |whether\ )[\w'-]+\ ){0,12}?
    (?!that\ |which\ |who\ |what\ |if\ |whether\ )[\w'-]+)"""
_IS = r"""(?:'s|'re|\ (?:is|are|would\ be|should\ be|will\ be|must\ be|has\ to\ be|seems(?:\ to\ be)?
    |appears\ to\ be|looks\ like|reads\ like
    |sounds\ like|belongs\ (?:to|in)|falls\ (?:under|into)|describes|expresses|conveys|shows|has|means
    |counts\ as|matches
    |fits|concerns|refers\ to|is\ about|is\ a\ case\ of|is\ an\ example\ of|can\ be|could\ be|might\ be
    |may\ be))"""
_DONE = r"""(?:\ (?:(?:best|most\ likely|clearly|probably)\ )?(?:labell?ed|classified|categori[sz]ed|rated
    |graded|described|written|marked|tagged
    |seen|filed)(?:\ (?:as|in|under|with))?)"""
_FOREIGN = r"""(?:(?:das|dies|es|die\ antwort|die\ kategorie|die\ richtige\ antwort|diese\ nachricht|der\ text)
    \ (?:ist|lautet|wäre)
    |c'est|ceci\ est|il\ s'agit\ d(?:e|'un|'une)|la\ réponse\ est|la\ bonne\ réponse\ est
    |(?:esto\ |este\ |esta\ |la\ respuesta\ |la\ respuesta\ correcta\ )?es|(?:questo\ |questa\ 
    |la\ risposta\ )?è
    |(?:isto\ |a\ resposta\ )?é|это|ответ|(?:to\ )?jest|(?:dit|het|het\ antwoord)\ is|(?:det|svaret)\ (?:är|er)
    |cevap|bu|ini\ adalah|jawabannya\ adalah)"""
_OPENING = r"""(?:(?:so|therefore|thus|hence|then|yes|ok|okay|sure|well|overall|finally|clearly|in\ conclusion
    |in\ short|in\ summary
    |as\ a\ result|and|also),?\ )*"""
_LED = re.compile(
    rf"""{_OPENING}(?:
      {_ARTICLE}?
    | (?:\d+[.)]?\ )
    | (?:{_SPEAKER})?(?:{_SUBJECT}{_IS}{_DONE}?|{_SPEAKER}|{_FOREIGN})\ ?{_SURELY}*{_ARTICLE}?(?:{_SURELY})?
      (?:(?:answer|option|choice|label|letter|class|category|grade|case\ of)\ )?
    | (?:{_HEADED})\ ?(?:as\ )?{_ARTICLE}?(?:(?:option|choice|label|class|category)\ )?
    )""",
    re.VERBOSE,
)
_CJK_LED = re.compile(
    r"""(?:我(?:认为|認為|觉得|覺得|会选|选择|选)?,?)?(?:这|這|这个|这封邮件|这条|它|此|该邮件|该句
    |この\w{1,8}は|これは|이것은|นี่|ข้อความนี้)?
    (?:应该|應該|显然|顯然)?(?:的?(?:正确|正確)?(?:答案|标签|標籤|类别|類別|选项|選項|评分|評分|分类|答え|정답은|답은|คำตอบ)(?:是|为|為|は|คือ)?
    |是|為|为|属于|屬於|选|選|选择|選擇|归为|即|คือ|เป็น|ตอบ)?(?:一个|一個|一封|一条)?\s*""",
    re.VERBOSE,
)
_BECAUSE = (
    r"(?:because|since|as|due|given|based|porque|weil|parce|потому|puisque|denn|因为|因為|เพราะ|reasons?|grund)(?!\w)"
)
_NOUN = r"""(?:answer|one|option|choice|label|category|class|matter|issue|problem|question|case|request|message
    |mail|e-?mail|email|text
    |review|type|kind|thing|statement|sentence|post|comment|ticket|report|language|sentiment|tone|emotion|item
    |document|article|tweet
    |stars?|points?|relation|relationship|pair|place|person)"""
_AT_ALL = r"(?:at\ all|indeed|here|overall|clearly|too|then|for\ sure|definitely|in\ my\ opinion|please)"
_RIGHT = r"""(?:is|was|would\ be|seems|looks)\ (?:clearly\ |probably\ )?(?:the\ |my\ |a\ |an\ )?(?:final\ 
    |correct\ |right\ |best\ |most\ likely\ )*
    (?:correct|right|best|better|answer|option|choice|label|likely|appropriate|pick|fit)(?!\w)"""
_GOES_ON = re.compile(
    rf"""(?:(?:{_NOUN}(?!\w)|{_AT_ALL}(?!\w)|{_RIGHT}|的|分|星|点|點|类|類|吧|です|でした|だ|である|입니다|이다|예요|이에요|임|ครับ|ค่ะ|是正确
    |是对的|[✅✔👍])\ *)*(?P<rest>$|[\n.!;。！；,:，：、=|(]|[-–—]+\s|{_BECAUSE})""",
    re.VERBOSE,
)
_CONCEDES = re.compile(
    r"(?<!\w)(?:but|although|though|however|except|yet|aber|doch|mais|pero|però|ma|mas|но|однако|但|但是|不过|außer)(?!\w)"
)
_TAKEN_BACK = re.compile(
    r"\s*(?:no|nope|not|wait|actually|on\ second\ thought|scratch\ that|correction|sorry|wrong|nein|non)(?!\w)"
)


def affirmed(before: str, after: str, denies: re.Pattern[str] | None) -> bool:
    """Whether a label stands as the answer, by the text before and after it, both in lower case.

    `denies`: what denies a label in the words that follow it; None: the label itself is such a word.
    """
    opening = re.sub(r":[\s*_`]*\n", ": ", before)  # a heading on a line of its own
    sentence = _LETTER.sub(" ", _SENTENCE.split(opening)[-1])
    lead = " ".join(_MARKUP.sub(" ", _ARROW.sub(" : ", sentence)).split())
    return _is_led(lead) and _is_left(after, lead, denies)


def _is_led(lead: str) -> bool:
    head, colon, near = lead.rpartition(":")
    if not colon:
        clauses = [lead, *(lead[match.end() :] for match in _CLAUSE.finditer(lead))]
        return any(_LED.fullmatch(f"{clause} " if clause else "") or _CJK_LED.fullmatch(clause) for clause in clauses)
    heading = re.split(r"[,:]", head)[-1].strip()
    return _is_led(near.strip()) and (not heading or _is_led(heading))


def _is_left(after: str, lead: str, denies: re.Pattern[str] | None) -> bool:
    """Whether what follows a label leaves it as it is: the end, an explanation, "is correct"."""
    after = re.sub(r"^</\w+>", "", after)
    body = after.lstrip("*_`\"'~)]}>")
    marked = after[: len(after) - len(body)]
    body = body.lstrip(" ")
    goes_on = _GOES_ON.match(body)
    if goes_on is None:
        explained = not lead and any(mark in marked for mark in ")]}>")  # "B) A city in Italy"
        two_words = lead in _ARTICLES and re.fullmatch(r"\w+\W*", body) is not None  # "un café noir"
        return two_words or (explained and not _takes_back(body, denies))
    rest = body[goes_on.end() :]
    if goes_on["rest"] in _STOPS:
        return _TAKEN_BACK.match(rest) is None
    if re.match(_BECAUSE, goes_on["rest"]) or re.match(rf"\s*{_BECAUSE}", rest):
        return True
    return not _takes_back(rest, denies)


def _takes_back(rest: str, denies: re.Pattern[str] | None) -> bool:
    sentence = _SENTENCE.split(rest, maxsplit=1)[0]
    return denies is not None and (denies.search(sentence) is not None or _CONCEDES.search(sentence) is not None)
