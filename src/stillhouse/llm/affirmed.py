"""Whether a sentence gives a label as its answer.

No list of words that deny is ever complete, in one language or in all. So the question is turned round: only the forms
in which an answer is given are known ("spam", "Answer: spam", "I think it is spam", "spam, because ..."). What stands
in another sentence may mean the opposite, and is not read.
"""

import re

from stillhouse.words import UNSPACED

_MARKUP = re.compile(
    r"</?\w+>|[*_`\"~()\[\]{}<>|#•]+|\$?\\(?:boxed|text(?:bf|it|tt|rm)?|mathrm|mathbf)|[✅✔👍]|(?<!\w)['-]+|['-]+(?!\w)"
)
_ARROW = re.compile(r"[-=]+>|[→⇒=]|(?<=\s)[–—-]+(?=\s|$)")
_LETTER = re.compile(  # of a choice: "(b) Rome", "The answer is b) Rome"
    r"(?:^\W*|(?<=\bis )|(?<=: ))(?:[a-z]|\d{1,2}|[ivx]{2,5})[:.)]+\s|\((?:[a-z]|\d{1,2}|[ivx]{2,5})\)|\[[x✓✔]\]"
)
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
# Headings of an answer. A heading of another kind may be "Ruled out:", and another word before it "Rejected label:".
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
    |відповідь|odpowiedź|kategoria|odpověď|antwoord|categorie|svar|الإجابة|الجواب|التصنيف
    |תשובה|התשובה|קטגוריה|סיווג|απάντηση|उत्तर|câu\ trả\ lời|đáp\ án)"""
_OF_HEADINGS = r"""(?:the|my|your|our|its|this|a|final|correct|best|right|true|predicted|overall|suggested|proposed
    |recommended|assigned|chosen|selected|resulting|appropriate|likely|probable|fitting|suitable|accurate|main|primary
    |single|top|most|only|definitive|short|direct|model|ai|assistant
    |richtige|beste|endgültige|meine|die|das|der|la|ma|mi|su|bonne|correcta|minha|mia|het|de|mijn)"""
_THING = r"""(?:e-?mail|mail|text|message|review|ticket|post|comment|sentence|statement|document|article|tweet
    |request|question|issue|problem|row|item|input|case|report|conversation|query|news|product|sms|title|headline
    |paragraph)"""
_PERSON = r"(?:user|customer|author|speaker|writer|sender|reviewer|client|caller)"
_FELT = r"(?:intent|sentiment|emotion|mood|tone|stance|polarity)"
_HEADED = rf"""(?:{_OF_HEADINGS}\ ){{0,4}}(?:{_THING}(?:'?s)?\ |{_PERSON}(?:'?s)?\ (?={_FELT}))?(?:{_OF_HEADINGS}\ )?
    (?:{_HEADING}\ )?{_HEADING}(?:\ (?:for|of)\ (?:(?:this|the|your|my)\ )?{_THING})?(?:\ is|\ ist)?"""
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
    (?:应该|應該|显然|顯然)?(?:的?(?:正确|正確)?(?:答案|标签|標籤|类别|類別|选项|選項|评分|評分|分类|答え|回答|正解|評価|分類|ラベル|カテゴリー?|判定
    |정답|답변?|분류|라벨|레이블|카테고리|평점|평가|คำตอบ)(?:是|为|為|は|은|는|คือ)?
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
    r"(?<!\w)(?:but|although|though|however|except|yet|aber|doch|mais|pero|però|ma|mas|но|однако|但|但是|不过|außer"
    r"|maybe|perhaps|partly|partially|in part|to some extent|formerly|previously|rejected|kidding|joking|sarcas\w+"
    r")(?!\w)"
)
_TAKEN_BACK = re.compile(
    r"""\s*(?:(?:correct|right|true|sure)\s?[:=?]\s?)?(?:no|nope|not|wait|actually|on\ second\ thought|scratch\ that
    |correction|sorry|wrong|nein|non|none|false|neither|other|unknown|unsure|unclear|undecided|maybe|perhaps|incorrect
    |n/a|unlikely|rejected|(?:just\ )?kidding)(?!\w)""",
    re.VERBOSE,
)
# One word behind a label explains nothing: but for these it may be a second label, a level or a doubt.
_ASSURES = re.compile(
    r"(?:definitely|clearly|certainly|certain|sure|obviously|indeed|confirmed|correct|right|true|yes|high|final|likely"
    r"|probably|confident|because|reason|✅|✔|👍|sicher|eindeutig|ja|oui|sí|да)"
)
_SCORE = re.compile(
    r"(?P<sign>[-+]?)(?P<value>\d+(?:\.\d+)?)\s?(?P<unit>%|percent)?(?:\s?(?:/|of|out of)\s?(?P<most>\d+))?"
)
_AROUND_SCORES = "*_`\"'()[]{}.,:;! "
# What may stand alone before a label that stands alone; whatever else does may be another answer.
_OPENERS = re.compile(
    rf"""(?:sure|ok|okay|yes|yep|right|alright|well|hmm?|great|certainly|absolutely|understood|done|thanks|hello|hi|so
    |therefore|thus|hence|finally|text|txt|plaintext|json|markdown|claro|natürlich|klar|gerne?|sí|oui|ja|да|конечно
    |certo|{_HEADING})""",
    re.VERBOSE,
)


def affirmed(before: str, after: str, denies: re.Pattern[str] | None, *, is_mark: bool = False) -> bool:
    """Whether a label stands as the answer, by the text before and after it, both in lower case.

    `denies`: what denies a label in the words that follow it; None: the label itself is such a word. `is_mark`: the
    label is a letter or a number, so that one word behind it may be the text of the choice.
    """
    opening = re.sub(r":[\s*_`]*\n", ": ", before)  # a heading on a line of its own
    *earlier, last = _SENTENCE.split(opening)
    lead = " ".join(_MARKUP.sub(" ", _ARROW.sub(" : ", _LETTER.sub(" ", last))).split())
    if not lead and earlier and _is_another_answer(earlier[-1]):
        return False
    return _is_led(lead) and _is_left(after, lead, denies, is_mark)


def _is_another_answer(sentence: str) -> bool:
    """Whether the sentence before a label that stands alone is one word, such as "unknown" or "phishing"."""
    said = " ".join(_MARKUP.sub(" ", sentence).split())
    return re.fullmatch(r"(?![ivx]+$)[^\W\d_][\w/.'-]+", said) is not None and _OPENERS.fullmatch(said) is None


def _is_led(lead: str) -> bool:
    head, colon, near = lead.rpartition(":")
    if not colon:
        clauses = [lead, *(lead[match.end() :] for match in _CLAUSE.finditer(lead))]
        return any(_LED.fullmatch(f"{clause} " if clause else "") or _CJK_LED.fullmatch(clause) for clause in clauses)
    heading = re.split(r"[,:]", head)[-1].strip()
    return _is_led(near.strip()) and (not heading or _is_led(heading))


def _is_left(after: str, lead: str, denies: re.Pattern[str] | None, is_mark: bool) -> bool:
    """Whether what follows a label leaves it as it is: the end, an explanation, "is correct"."""
    after = re.sub(r"^\s*</\w+>", "", after)
    body = after.lstrip("*_`\"'~)]}>")
    marked = after[: len(after) - len(body)]
    body = body.lstrip(" ")
    goes_on = _GOES_ON.match(body)
    if goes_on is None:
        explained = (is_mark or not lead) and any(mark in marked for mark in ")]}>")  # "B) A city in Italy"
        two_words = lead in _ARTICLES and re.fullmatch(r"\w+\W*", body) is not None  # "un café noir"
        return two_words or (explained and not _takes_back(body, denies))
    rest = body[goes_on.end() :]
    if goes_on["rest"] in _STOPS:
        return _TAKEN_BACK.match(rest) is None and not _is_low(rest.strip().partition("\n")[0])
    if re.match(_BECAUSE, goes_on["rest"]) or re.match(rf"\s*{_BECAUSE}", rest):
        return True
    return not _takes_back(rest, denies) and _explains(rest, is_mark)


def _explains(rest: str, is_mark: bool) -> bool:
    """Whether what follows a comma, colon, bracket or dash can explain: more than a word, and no low number."""
    sentence = _SENTENCE.split(rest, maxsplit=1)[0]
    if _SCORE.fullmatch(sentence.strip(_AROUND_SCORES)) is not None:
        return not _is_low(sentence)
    said = " ".join(_MARKUP.sub(" ", _ARROW.sub(" ", sentence)).split()).strip(".,:;! ")
    is_word = re.fullmatch(r"(?![ivx]+$)[\w/.'-]{2,}", said) is not None and UNSPACED.match(said) is None
    if said and re.search(r"\w", said) is None:
        return _ASSURES.fullmatch(said) is not None
    return not is_word or is_mark or _ASSURES.fullmatch(said) is not None


def _is_low(said: str) -> bool:
    """Whether it is a number that may be a low score of the label: only half or more of a known whole is none."""
    score = _SCORE.fullmatch(said.strip(_AROUND_SCORES))
    if score is None:
        return False
    most = float(score["most"] or (100 if score["unit"] else 1))
    is_share = bool(score["unit"] or score["most"] or "." in score["value"])
    return not (is_share and score["sign"] != "-" and most / 2 <= float(score["value"]) <= most)


def _takes_back(rest: str, denies: re.Pattern[str] | None) -> bool:
    sentence = _SENTENCE.split(rest, maxsplit=1)[0]
    return denies is not None and (denies.search(sentence) is not None or _CONCEDES.search(sentence) is not None)
