"""Whether a sentence gives a label as its answer.

No list of words that deny is ever complete, in one language or in all. So the question is turned round: only the forms
in which an answer is given are known ("spam", "Answer: spam", "I think it is spam", "spam, because ..."). What stands
in another sentence may mean the opposite, and is not read.
"""

import re

from stillhouse.words import UNSPACED

_MARKUP = re.compile(
    r"</?\w+>|\\[()\[\]]|[*_`\"~()\[\]{}<>|#•$]+|\\(?:boxed|text(?:bf|it|tt|rm)?|mathrm|mathbf)|[✅✔👍]|(?<!\w)['-]+|['-]+(?!\w)"
)
_ARROW = re.compile(r"[-=]+>|[→⇒=]|(?<=\s)[–—-]+(?=\s|$)")
_LETTER = re.compile(  # of a choice: "(b) Rome", "The answer is b) Rome"
    r"(?:^\W*|(?<=\bis )|(?<=: ))(?:[a-z]|\d{1,2}|[ivx]{2,5})[:.)]+\s|\((?:[a-z]|\d{1,2}|[ivx]{2,5})\)|\[[x✓✔]\]"
)
# The end of a sentence; the full stop of an abbreviation is none.
_SENTENCE = re.compile(
    r"(?:(?<!\b[a-z])(?<!\b(?:vs|cf|ca))(?<!\b(?:bzw|ggf))(?<!\b(?:evtl|resp|poss|prob))\.|[!?])(?=\s|$)"
    r"|[;\n。！？；؟।]|\.\.\.|…"
)
# In Russian and its sisters a dash is the verb: "Ответ — спам"
_DASH_AS_VERB = re.compile(r"(?<=[а-яёіїєў]) [—–-]+(?=\s|$)")
_MOST_CLAUSES = 5  # so many, the last ones, may lead to a label
_CLAUSE = re.compile(
    r", (?=(?:so|therefore|thus|hence|i|which means|the answer)\b)|"
    r"^(?:based on|given|considering|according to|since|because|as|after|in)\b[^:]*, "
)
# Articles of the languages whose adjectives follow the noun
_ARTICLES_BEFORE_NOUNS = frozenset(("un", "une", "una", "el", "la", "le", "il", "lo", "uma", "um"))
_STOPS = frozenset(("", *"\n.!;。！；।"))
_ARTICLE = r"""(?:(?:an?|the|une?|des|du|de\ la|le|la|l|eine?[nrms]?|der|die|das|dem|den|el|los|las|una?|il|lo|uma?
    |een|het|et)\ )"""
_LIKELY = r"""(?:(?:most\ |very\ )?(?:likely|probably)|clearly|definitely|certainly|obviously|undoubtedly|evidently)"""
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
    |tag|code|name|judgement|judgment|assessment|evaluation|my|here|is
    |antwort|lösung|kategorie|klasse|klassifikation|klassifizierung|einstufung|einordnung|ergebnis|thema|absicht
    |stimmung|sprache|bewertung|réponse|catégorie|classe|classement|classification|étiquette|thème|sujet
    |intention|langue|résultat|respuesta|categoría
    |clase|clasificación|etiqueta|puntuación|sentimiento|tema|intención|resultado|idioma|risposta|classificazione
    |punteggio|categoria|resposta|rótulo|cevap|kategori|etiket|ответ|категория|класс|классификация|метка|оценка|тема
    |тональность|результат|відповідь|odpowiedź|kategoria|odpověď|antwoord|categorie|svar|الإجابة|الجواب|التصنيف|الفئة
    |التقييم|الموضوع|النتيجة
    |תשובה|התשובה|קטגוריה|סיווג|απάντηση|उत्तर|câu\ trả\ lời|đáp\ án)"""
_OF_HEADINGS = r"""(?:the|my|your|our|its|this|a|final|correct|best|right|true|predicted|overall|suggested|proposed
    |recommended|assigned|chosen|selected|resulting|appropriate|likely|probable|fitting|suitable|accurate|main|primary
    |single|top|most|only|definitive|short|direct|model|ai|assistant
    |richtige|korrekte|passende|beste|endgültige|meine|die|das|der|la|le|ma|mon|mi|su|el|bonne|correcta|final|minha|mia
    |het|de|mijn|правильный|верный|правильная|верная|окончательный|мой|моя)"""
_THING = r"""(?:e-?mail|mail|text|message|review|ticket|post|comment|sentence|statement|document|article|tweet
    |request|question|issue|problem|row|item|input|case|report|conversation|query|news|product|sms|title|headline
    |paragraph)"""
_PERSON = r"(?:user|customer|author|speaker|writer|sender|reviewer|client|caller)"
_FELT = r"(?:intent|sentiment|emotion|mood|tone|stance|polarity)"
_HEADED = rf"""(?:{_OF_HEADINGS}\ ){{0,4}}(?:{_THING}(?:'?s)?\ |{_PERSON}(?:'?s)?\ (?={_FELT}))?(?:{_OF_HEADINGS}\ )?
    (?:{_HEADING}\ )?{_HEADING}(?:\ (?:for|of)\ (?:(?:this|the|your|my)\ )?{_THING})?
    (?:\ (?:is|ist|correcta|correcte|corretta|correta|finale?|الصحيحة|الصحيح))?"""
_SPEAKER = rf"""(?:i(?:'d|'ll|\ would|\ will)?\ (?:also\ )?(?:think|believe|say|guess|conclude|answer|choose
    |chose|pick|picked|select|go\ with|go\ for|give|give\ it|rate|rate\ it
    |(?:label|classify|categori[sz]e|rate|mark|tag|file|put|set|assign|call|describe|consider)
    \ (?:it|this|that|(?:this|the)\ {_THING})(?:\ (?:as|to|under|in|to\ be))?)(?:\ that)?\ 
    |i(?:'m|\ am)\ (?:quite\ |very\ |fairly\ |pretty\ )?(?:confident|sure|certain|convinced)(?:\ that)?\ )"""
# Words that begin another sentence within this one ("the sender says it is spam"): what follows is not the answer.
_ANOTHER = r"""(?!(?:that|which|who|what|if|whether|it|he|she|they|i|you|we|says|said|claims|claimed|thinks|thought
    |believes|believed|states|stated|writes|wrote|wants|asks|asked|demands|hopes|fears|pretends?)\ )"""
_SUBJECT = rf"""(?:it|this|that|he|she|they|these|those
    |(?:the|this|my|your|its|his|her|their|our)\ (?:{_ANOTHER}[\w'-]+\ ){{0,12}}?{_ANOTHER}[\w'-]+)"""
_IS = r"""(?:'s|'re|\ (?:is|are|would\ be|should\ be|will\ be|must\ be|has\ to\ be|seems(?:\ to\ be)?
    |appears\ to\ be|looks\ like|reads\ like
    |sounds\ like|belongs\ (?:to|in)|falls\ (?:under|into)|describes|expresses|conveys|shows|feels|has|means
    |counts\ as|matches
    |fits|concerns|refers\ to|is\ about|is\ a\ case\ of|is\ an\ example\ of|can\ be|could\ be|might\ be
    |may\ be))"""
_DONE = r"""(?:\ (?:(?:best|most\ likely|clearly|probably)\ )?(?:labell?ed|classified|categori[sz]ed|rated
    |graded|described|written|marked|tagged
    |seen|filed)(?:\ (?:as|in|under|with))?)"""
# What is labelled, and what the answer is called, in languages that say "The message is ..." in this order
_NAMED_ABROAD = r"""(?:antwort|kategorie|klasse|klassifikation|einordnung|bewertung|stimmung|text|nachricht|mail
    |kommentar|satz|buchstabe
    |rezension|anfrage|réponse|catégorie|classe|étiquette|sentiment|texte|message|commentaire|avis|phrase|courriel
    |respuesta|categoría|clase|etiqueta|sentimiento|texto|mensaje|comentario|reseña|frase|correo|opción|letra|lettre|opinión
    |risposta|categoria|classe|sentimento|testo|messaggio|commento|recensione|resposta|mensagem|comentário|avaliação
    |antwoord|categorie|bericht|tekst)"""
_FITTING_ABROAD = r"(?:(?:richtige|korrekte|passende|beste|bonne|correcta|correcte|adecuada|corretta|correta|juiste)\ )"
_OF_THIS_ABROAD = rf"""(?:(?:der|das|die|dies|diese[rs]?|la|le|ce|cette|el|este|esta|il|questo|questa|o|a|esse|essa
    |het|de|dit|deze)\ 
    {_FITTING_ABROAD}?{_NAMED_ABROAD}\ {_FITTING_ABROAD}?)"""
_FOREIGN = rf"""(?:(?:das|dies|es|hier|{_OF_THIS_ABROAD})\ ?(?:ist|lautet|wäre|gehört\ zu(?:r\ kategorie)?)
    |meiner\ (?:meinung|ansicht)\ nach\ ist\ (?:das|dies|es)
    |(?:es|hier|dabei)\ handelt\ (?:es\ )?sich\ (?:hier\ |hierbei\ |dabei\ )?um
    |ich\ (?:würde\ |ordne\ |stufe\ |werte\ )?(?:das|dies|es|die\ nachricht|den\ text)(?:\ (?:als|der\ kategorie
    |unter))?
    |(?:c'est|ceci\ est|il\ s'agit\ (?:clairement\ )?d(?:e|'une?)|{_OF_THIS_ABROAD}est)
    |je\ (?:classerais|classe|dirais|pense|choisis)(?:\ (?:ce|le)\ {_NAMED_ABROAD})?(?:\ (?:comme|que\ c'est))?
    |(?:esto\ |éste?\ |este\ |esta\ |{_OF_THIS_ABROAD})?es(?:\ de)?|se\ trata\ de
    |(?:yo\ )?(?:clasificaría|clasifico|diría|elijo)(?:\ (?:este|el|esto
    |como)(?:\ {_NAMED_ABROAD})?)?(?:\ como)?(?:\ que\ es)?
    |(?:questo\ |questa\ |{_OF_THIS_ABROAD})?è|si\ tratta\ di
    |(?:isto\ |isso\ |{_OF_THIS_ABROAD})?é|trata-se\ de
    |(?:я\ (?:считаю|думаю|полагаю),\ что\ )?это|ответ
    |(?:(?:данн|эт)\w{{1,3}}\ )?(?:(?:правильн|верн)\w{{1,3}}\ )?(?:текст|сообщение|отзыв|письмо|обращение
    |комментарий|ответ
    |категория|метка|класс)\ (?:это|является|относится\ к(?:\ категории|\ классу)?)
    |(?:dit|het|{_OF_THIS_ABROAD})\ ?is|(?:det|svaret)\ (?:är|er)
    |cevap|bu(?:\ bir)?|είναι|यह|זו|זה|זאת|đây\ là|(?:to\ )?jest|ini\ adalah|jawabannya\ adalah
    |(?:هذه|هذا|إنها|إنه|هي|هو|(?:هذه\ |هذا\ )?(?:الإجابة|الجواب|الفئة|التصنيف|الرسالة|النص|التعليق)(?:\ الصحيحة
    |\ الصحيح)?(?:\ هي|\ هو)?))"""
_OPENING = r"""(?:(?:so|therefore|thus|hence|then|yes|ok|okay|sure|well|overall|finally|clearly|in\ conclusion
    |in\ short|in\ summary
    |as\ a\ result|and|also|(?:which|this)\ means(?:\ that)?
    |eindeutig|klar|wahrscheinlich|claramente|clairement|probablement|probablemente|вероятно|очевидно
    |скорее\ всего),?\ )*"""
_LED = re.compile(
    rf"""{_OPENING}(?:
      {_ARTICLE}?
    | {_LIKELY}\ 
    | (?:\d+[.)]?\ )
    | (?:{_SPEAKER})?(?:{_SUBJECT}{_IS}{_DONE}?|{_SPEAKER}|{_FOREIGN})\ ?{_SURELY}*{_ARTICLE}?(?:{_SURELY})?
      (?:(?:answer|option|choice|label|letter|class|category|grade|case\ of)\ )?
    | (?:{_HEADED})\ ?(?:as\ )?{_ARTICLE}?(?:(?:option|choice|label|class|category)\ )?
    )""",
    re.VERBOSE,
)
_CJK_LED = re.compile(
    r"""(?:(?:因此|所以|综上所述|綜上所述|综上|总之|總之|根据内容|根據內容|したがって|よって|そのため|따라서|그러므로)[,、]?\s*)?
    (?:我(?:认为|認為|觉得|覺得|会选|选择|选)?,?)?
    (?:(?:这|這|该|該|此|本)(?:是|个|個|段|条|條|封|则|則|篇|句)?(?:文本|文字|评论|評論|消息|訊息|邮件|郵件|内容|內容|句子|句|话|話|留言|帖子|文章|信息)?
    |(?:评论|評論|文本|文字|消息|内容)(?=是|的|属)
    |它|この\w{1,8}は|これは|こちらは|이것은|이건|(?:이|해당)\ \w{1,6}[은는]|นี่|ข้อความนี้)?
    (?:应该|應該|显然|顯然)?
    (?:的?(?:正确|正確|最终|最終|整体|整體|文本|情感|최종\ )?(?:答案|标签|標籤|类别|類別|选项|選項|评分|評分|分类
    |分類|情感|情绪|情緒|分析|类型|類型|主题|主題|意图|意圖|答え|回答|正解|評価|ラベル
    |カテゴリー?|判定|選択肢|感情|정답|답변?|분류|라벨|레이블|카테고리|평점|점수|감정|평가|คำตอบ)(?:倾向|傾向
    |分析)?(?:结果|結果|\ ?결과)?(?:是|为|為|は|은|는|คือ)?
    |是|為|为|属于|屬於|选|選|选择|選擇|归为|即|คือ|เป็น|ตอบ)?(?:一个|一個|一封|一条|一條)?\s*""",
    re.VERBOSE,
)
_BECAUSE = (
    r"(?:because|since|as(?!\s+(?:if|though|opposed)\b)|due|given|based|porque|weil|parce|потому|puisque|denn|因为|因為"
    r"|เพราะ|reasons?|grund)(?!\w)"
)
_NOUN = r"""(?:answer|one|option|choice|label|category|class|matter|issue|problem|question|case|request|message
    |mail|e-?mail|email|text
    |review|type|kind|thing|statement|sentence|post|comment|ticket|report|language|sentiment|tone|emotion|item
    |document|article|tweet
    |stars?|points?|relation|relationship|pair|place|person|code|program|snippet
    |einstufen|einordnen|klassifizieren|kategorisieren|bezeichnen|werten|zu|zuordnen)"""
_AT_ALL = r"(?:at\ all|indeed|here|overall|clearly|too|then|for\ sure|definitely|in\ my\ opinion|please)"
_RIGHT = r"""(?:is|was|would\ be|seems|looks)\ (?:clearly\ |probably\ )?(?:the\ |my\ |a\ |an\ )?(?:final\ 
    |correct\ |right\ |best\ |most\ likely\ )*
    (?:correct|right|best|better|answer|option|choice|label|likely|appropriate|pick|fit)(?!\w)"""
# What says of the label before it that the text belongs there
BELONGS = r"""(?:に(?:該当|分類|属)(?:します|されます|する)|と(?:判断|分類|判定)(?:します|されます|できます)
    |だと(?:思い|考え|判断し)ます|에\ (?:해당합니다|해당됩니다|속합니다)|으?로\ (?:분류|판단)(?:됩니다|합니다))"""
_GOES_ON = re.compile(
    rf"""(?:(?:{_NOUN}(?!\w)|{_AT_ALL}(?!\w)|{_RIGHT}|的|分|星|点|點|类别|類別|类|類|吧|{BELONGS}|です|でした|だ|である|입니다|이다|예요|이에요|임|ครับ|ค่ะ|是正确
    |是对的|है(?!\w)|[✅✔👍])\ *)*(?P<rest>$|[\n.!;。！；।,:，：、=|(]|[-–—]+\s|{_BECAUSE})""",
    re.VERBOSE,
)
# Words that begin what limits the label before them: "yes, if it rains", "spam, or phishing"
_LIMITS = re.compile(
    r"\W*(?:or|and|plus|if|when|unless|provided|said|says|according|assuming|possibly|potentially|oder|und|wenn|falls|sofern|sobald|ou|et"
    r"|si|sauf|o|y|e|se|oppure|или|и|если|أو|إذا|لو|或|和|如果|假如|もし|または|또는|만약)(?!\w)|\W*(?:或|和|如果|假如|もし|または)"
)
_CONCEDES = re.compile(
    r"(?<!\w)(?:but|although|though|however|except|yet|aber|doch|mais|pero|però|ma|mas|но|однако|但|但是|不过|außer"
    r"|maybe|perhaps|partly|partially|in part|to some extent|formerly|previously|rejected|kidding|joking|sarcas\w+"
    r")(?!\w)"
)
_TAKEN_BACK = re.compile(
    r"""[\s.…]*(?:(?:correct|right|true|sure)\s?[:=?]\s?)?(?:no|nope|not|wait|actually|however|but|or|if\ (?:not|so)
    |otherwise|oder|ou|или|doch|nope|on\ second\ thought|scratch\ that
    |correction|sorry|wrong|nein|non|none|false|neither|other|unknown|unsure|unclear|undecided|maybe|perhaps|incorrect
    |n/a|unlikely|rejected|(?:just\ )?(?:kidding|joking)|lol)(?!\w)""",
    re.VERBOSE,
)
# One word behind a label explains nothing: but for these it may be a second label, a level or a doubt.
_ASSURES = re.compile(
    r"(?:definitely|clearly|certainly|certain|sure|obviously|indeed|confirmed|correct|right|true|yes|high|final|likely"
    r"|probably|confident|absolutely|exactly|undoubtedly|because|reason|高|✅|✔|👍|sicher|eindeutig|ja|oui|sí|да)"
)
_SCORE = re.compile(
    r"(?P<sign>[-+]?)(?P<value>\d+(?:\.\d+)?)\s?(?P<unit>%|percent)?(?:\s?(?:/|of|out of)\s?(?P<most>\d+))?"
)
_AROUND_SCORES = "*_`\"'()[]{}|.,:;! "
_CONFIDENCE = re.compile(
    rf"(?<!\w)(?:confidence|certainty|probability|likelihood|score)[\"'*_\s]*[:=]\s*[\"']?"
    rf"(?P<low>(?:very )?low\b|{_SCORE.pattern})"
)
# What may stand alone before a label that stands alone; whatever else does may be another answer.
OPENERS = re.compile(
    rf"""(?:sure|ok|okay|yes|yep|right|alright|well|hmm?|great|certainly|absolutely|understood|done|thanks|hello|hi|so
    |therefore|thus|hence|finally|then|text|txt|plaintext|json|markdown|claro|natürlich|klar|gerne?|sí|oui|ja|да|конечно
    |certo|{_HEADING})""",
    re.VERBOSE,
)


def affirmed(before: str, after: str, denies: re.Pattern[str] | None, *, is_mark: bool = False) -> bool:
    """Whether a label stands as the answer, by the text before and after it, both in lower case.

    `denies`: what denies a label in the words that follow it; None: the label itself is such a word. `is_mark`: the
    label is a letter or a number, so that one word behind it may be the text of the choice.
    """
    if is_mark and re.search(r"(?<!\w)[a-z]\.\s*$", before):  # initials, as in "J. B. Smith"
        return False
    opening = _DASH_AS_VERB.sub(" это", re.sub(r":[\s*_`]*\n", ": ", before))  # a heading on a line of its own
    *earlier, last = _SENTENCE.split(opening)
    lead = " ".join(_MARKUP.sub(" ", _ARROW.sub(" : ", _LETTER.sub(" ", last))).split())
    if not lead and earlier and _is_another_answer(earlier[-1]):
        return False
    return _is_led(lead) and _is_left(after, lead, denies, is_mark)


def _is_another_answer(sentence: str) -> bool:
    """Whether the sentence before a label that stands alone is one word, such as "unknown", or initials."""
    said = " ".join(_MARKUP.sub(" ", sentence).split())
    return re.fullmatch(r"(?![ivx]+$)[^\W\d_][\w/.'-]*", said) is not None and OPENERS.fullmatch(said) is None


def _is_led(lead: str) -> bool:
    head, colon, near = lead.rpartition(":")
    if not colon:
        clauses = [lead, *(lead[match.end() :] for match in _CLAUSE.finditer(lead))][-_MOST_CLAUSES:]
        return any(_LED.fullmatch(f"{clause} " if clause else "") or _CJK_LED.fullmatch(clause) for clause in clauses)
    heading = re.split(r"[,:]", head)[-1].strip()
    return _is_led(near.strip()) and (not heading or _is_led(heading))


def _is_left(after: str, lead: str, denies: re.Pattern[str] | None, is_mark: bool) -> bool:
    """Whether what follows a label leaves it as it is: the end, an explanation, "is correct"."""
    if any(said["low"] is not None and _is_known_low(said) for said in _CONFIDENCE.finditer(after)):
        return False
    after = re.sub(r"^\s*</\w+>", "", after)
    body = after.lstrip("*_`\"'~)]}>$\\")
    marked = after[: len(after) - len(body)]
    body = body.lstrip(" ")
    goes_on = _GOES_ON.match(body)
    if goes_on is None:
        explained = (is_mark or not lead) and any(mark in marked for mark in ")]}>")  # "B) A city in Italy"
        two_words = lead in _ARTICLES_BEFORE_NOUNS and re.fullmatch(r"\w+\W*", body) is not None  # "un café noir"
        return two_words or (explained and not _takes_back(body, denies))
    rest = body[goes_on.end() :]
    if goes_on["rest"] in _STOPS:
        return _TAKEN_BACK.match(rest) is None and not _is_low(rest.strip().partition("\n")[0])
    if re.match(_BECAUSE, goes_on["rest"]) or re.match(rf"\s*{_BECAUSE}", rest):
        return True
    return _LIMITS.match(rest) is None and not _takes_back(rest, denies) and _explains(rest, is_mark)


def _explains(rest: str, is_mark: bool) -> bool:
    """Whether what follows a comma, colon, bracket or dash can explain: more than a word, and no low number."""
    sentence = _SENTENCE.split(rest, maxsplit=1)[0]
    if _SCORE.fullmatch(sentence.strip(_AROUND_SCORES)) is not None:
        return not _is_low(sentence)
    said = " ".join(_MARKUP.sub(" ", _ARROW.sub(" ", sentence)).split()).strip(".,:;! ")
    longest = 3 if UNSPACED.match(said) else len(said)  # of what is one word, where nothing parts words
    is_word = (
        re.fullmatch(r"(?![ivx]+$)[\w/.'-]+", said) is not None
        and len(said) <= longest
        and not re.fullmatch("[a-z\\d]", said)
    )
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


def _is_known_low(said: re.Match[str]) -> bool:
    """Whether a confidence that is told is low: the word, or less than half of a known whole."""
    if said["value"] is None:
        return True
    is_share = bool(said["unit"] or said["most"] or "." in said["value"])
    return is_share and _is_low(said["low"])


def _takes_back(rest: str, denies: re.Pattern[str] | None) -> bool:
    sentence = _SENTENCE.split(rest, maxsplit=1)[0]
    return _CONCEDES.search(sentence) is not None or (denies is not None and denies.search(sentence) is not None)
