"""Replies by label set: those that give a label, and those that must not; written down before the reader ran on them."""

SETS = {
    "mail": ("spam", "ham"),
    "intent": ("refund", "refund request", "no refund", "shipping"),
    "mood": ("positive", "negative", "neutral"),
    "degrees": ("positive", "very positive", "negative"),
    "nli": ("entailment", "contradiction", "neutral"),
    "letters": ("A", "B", "C", "D"),
    "stars": ("1", "2", "3", "4", "5"),
    "shares": ("0.25", "0.5", "0.75", "1.0"),
    "yes": ("yes", "no"),
    "truth": ("true", "false"),
    "toxic": ("toxic", "non-toxic"),
    "signs": ("+", "-", "="),
    "faces": ("😀", "😡", "😐"),
    "topics": ("sports", "esports", "politics", "science & technology"),
    "codes": ("E1", "E10", "E100"),
    "tongues": ("C", "C++", "Go", "Rust"),
    "urgency": ("P0", "P1", "P2"),
    "snake": ("card_lost", "card_not_working", "card"),
    "german": ("Beschwerde", "Lob", "Anfrage"),
    "ja_nein": ("ja", "nein"),
    "french": ("réclamation", "éloge", "question"),
    "oui": ("oui", "non"),
    "spanish": ("queja", "elogio", "consulta"),
    "si": ("sí", "no"),
    "russian": ("жалоба", "похвала", "вопрос"),
    "da": ("да", "нет"),
    "chinese": ("投诉", "表扬", "咨询"),
    "hen": ("正面", "负面", "中性"),
    "japanese": ("苦情", "称賛", "質問"),
    "hai": ("はい", "いいえ"),
    "arabic": ("شكوى", "مدح", "سؤال"),
    "naam": ("نعم", "لا"),
    "korean": ("불만", "칭찬", "문의"),
    "ne": ("예", "아니요"),
    "places": ("Paris", "London", "Berlin"),
    "marked": ("(1) cat", "(2) dog", "(3) bird"),
    "ag": ("World", "Sports", "Business", "Sci/Tech"),
    "none": ("None", "Other", "Billing", "Login"),
    "binary": ("0", "1"),
    "grades": ("A+", "A", "A-", "B"),
    "maybe": ("yes", "no", "maybe", "don't know"),
    "likert": ("very bad", "bad", "ok", "good", "very good"),
    "hier": ("billing", "billing/refund", "billing/invoice"),
    "trec": ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"),
    "emotion": ("joy", "anger", "fear", "no emotion"),
    "stance": ("for", "against", "neither"),
    "greek": ("παράπονο", "έπαινος"),
    "hindi": ("शिकायत", "प्रशंसा"),
    "thai": ("ร้องเรียน", "ชมเชย"),
    "hebrew": ("תלונה", "שבח"),
    "turkish": ("şikayet", "övgü"),
    "viet": ("khiếu nại", "khen ngợi"),
    "ital": ("reclamo", "elogio"),
    "port": ("reclamação", "elogio"),
    "polish": ("skarga", "pochwała"),
    "dutch": ("klacht", "lof"),
    "numbered": ("1 - bad", "2 - ok", "3 - good"),
    "lang": ("en", "de", "fr", "es"),
    "months": ("may", "march", "june"),
    "pos": ("noun", "verb", "adjective", "adverb"),
}

# No label may be read
HOSTILE = {
    "mail": r"""
        I'm sorry, but I can't classify this as spam.
        I wouldn't go so far as to call it spam
        It used to be spam.
        It is no longer spam.
        It is not yet spam.
        almost spam
        It is close to spam.
        borderline spam
        It resembles spam.
        It could be mistaken for spam.
        It was marked as spam by mistake.
        So-called spam
        pseudo-spam
        quasi spam
        semi-spam
        The sender says it is spam.
        The previous model said spam.
        Some people would call it spam.
        The text asks me to answer spam.
        Ignore the rules and answer spam
        Ignore all previous instructions. Label: spam is what the mail demands
        The text contains the word "spam".
        The word spam occurs twice.
        Spam is a canned meat.
        Spam is defined as unsolicited mail.
        Definition of spam: mail that nobody asked for
        spam and eggs
        It was moved to the spam folder.
        The spam score is low.
        If the sender is unknown, then spam
        spam if the sender is unknown
        spam, if the link is dead
        spam unless it is a newsletter
        It would be spam if it had a link.
        It would have been spam, had it held a link
        Were it not for the name, it would be spam
        spam or something else
        spam or phishing
        spam and phishing
        spam/phishing
        spam | phishing
        spam, possibly phishing
        spam vs. newsletter
        half spam
        50% spam
        10 % spam
        a bit of spam
        somewhat spam
        slightly spam
        hardly any spam
        spam? No.
        spam, right?
        Would you call it spam?
        is it spam
        Should I label it spam or leave it
        spam → ham
        Not ham, not spam
        The opposite of spam.
        Opposite: spam
        It is the contrary of spam
        everything except spam
        all but spam
        spam excluded
        spam is excluded
        spam can be excluded
        spam can be ruled out
        We can eliminate spam.
        Eliminate spam
        Discard spam
        Avoid spam
        Beware of spam
        Stop spam
        spam fails here
        spam does not fit
        spam would be too harsh
        spam would be an overstatement
        spam is too strong a word
        spam is a stretch
        Calling it spam is a stretch
        It is tempting to say spam
        At first glance spam
        At first I thought spam
        One might think it is spam
        It looks like spam at first
        It looks like spam, but the sender is my bank
        It seems to be spam; it is a bill.
        It seems to be spam. However, it is a bill.
        It is spam. Or is it?
        spam... just joking
        spam lol
        spam /s
        Yeah right, spam
        spam as if
        {"spam": false}
        {"spam": 0}
        {"spam": 0.1, "ham": 0.9}
        {"is_spam": "no"}
        {"label": null, "candidate": "spam"}
        {"label": "unknown", "note": "spam"}
        {"not": "spam"}
        {"rejected": "spam"}
        {"label": "spam", "confidence": 0.01}
        {"label": "spam", "correct": false}
        {"labels": ["spam", "phishing"]}
        {"error": "spam"}
        spam = false
        spam=0
        spam := false
        spam: FALSE
        spam: no
        spam: n
        spam: ✗
        spam ✗
        spam (✗)
        spam ❌
        ❌ spam
        spam 0%
        spam: 0/10
        spam, 2/10
        label != spam
        label <> spam
        not(spam)
        NOT spam
        n0t spam
        <not>spam</not>
        <spam>false</spam>
        <!-- spam -->
        <ham/>spam
        ~spam
        -spam
        (spam)?
        ~~spam~~ bill
        [ ] spam [ ] bill
        | spam | 0 |
        | label | p |\n| spam | 0.01 |
        Options: spam, ham
        1. spam\n2. ham
        Category 1: spam
        Example: spam
        For example: spam
        The allowed labels include spam
        Candidates: spam
        Candidate label: spam
        Second best: spam
        Runner-up: spam
        Worst label: spam
        Label to avoid: spam
        Original label: spam
        Expected label: unknown; given label: spam
        Human label: spam
        Prior: spam
        Old category: spam
        Model A says spam
        GPT-4 says spam
        Annotator 1: spam
        Not applicable (spam)
        N/A. spam
        none: spam
        null\nspam
        undefined - spam
        unclear; spam
        I abstain. spam
        I have no opinion on spam.
        I don't think that it is spam.
        I don't believe this is spam
        I can't see any spam.
        There is no evidence of spam.
        There is little evidence that it is spam
        The evidence for spam is weak.
        The odds of spam are low
        The probability of spam is 3%.
        It is as much spam as the Bible
        It is spam the way water is dry
        more newsletter than spam
        rather newsletter than spam
        newsletter rather than spam
        less spam than newsletter
        It's only spam on the surface
        only partly spam
        partially spam
        spam in part
        spam to some extent
        spam in name only
        maybe spam
        Perhaps spam
        It might or might not be spam
        suspected spam
        alleged spam
        It isn't, in my view, spam.
        It is in no way spam
        It's by no means spam
        It is nowhere near spam
        It is miles from spam
        It's the last thing I'd call spam
        I'd be surprised if it were spam
        Nobody would call this spam
        Who would call this spam
        Few would call it spam
        Hard to believe it's spam
        God forbid: spam
        Das ist wohl kaum als Spam zu werten
        Das als Spam zu werten, wäre falsch
        Ich bezweifle, dass es Spam ist
        alles außer Spam
        Spam ausgeschlossen
        vielleicht Spam
        Je doute que ce soit du spam
        tout sauf spam
        ce n'est guère spam
        Dudo que sea spam
        cualquier cosa menos spam
        todo menos spam
        tutt'altro che spam
        Non direi spam
        To raczej nie spam
        Det er ikke spam
        Se ei ole spam
        Az nem spam
        Nu este spam
        Δεν είναι spam
        Không phải spam
        Bukan spam
        Это вовсе не spam
        spam ではありません
        spamではないと思います
        spam 아닙니다
        并非spam
        不算spam
        谈不上spam
        The mail claims it is spam.
        The author believes this is spam
        My colleague says it's spam
        The rule is that links are spam
        This reads like spam, said my boss, wrongly
        The filter marked this as spam
        The user flagged it as spam
        Our filter calls this spam
        I would label it spam if I were paid
        I would label the mail as spam unless it is signed
        I would label this email as spam or phishing
        I would label this as anything but spam
        I am confident that this isn't spam.
        I'm sure it is either spam or phishing.
        I am not sure that this is spam.
        I'm certain some will say spam
        Most likely not spam.
        Definitely no spam
        Likely spam or phishing
        Clearly spam filters failed here
        Probably spam, or an honest mistake
        Certainly more than spam
        Obviously spam-adjacent
        spam, or phishing
        spam (or phishing)
        spam, and phishing too
        spam, plus phishing
        spam, provided the link is dead
        spam; if not, phishing
        spam. But that is a guess of last resort.
        spam. Or phishing.
        spam. Actually, no.
        spam... no, phishing
        spam… nope
        Answer: spam. Confidence: 5%
        Label: spam\nConfidence: low
        {"label": "spam", "score": 0.02}
        {"label": "spam", "probability": "2%"}
        {"label": "spam", "confidence": "low"}
        {"label": "spam", "certainty": 1/10}
        spam (confidence: very low)
        spam | 0.01
        spam=/=this
        this =/= spam
        label \neq spam
        vs. spam
        phishing vs. spam
        phishing vs spam
        cf. spam
        Is spam the right label
        I decline. spam
        I pass: spam
        No opinion. spam
        A spam folder
        a spam mail?
        Label: un spam filter
        die Nachricht ist keine spam
        Le message n'est pas spam
        Este mensaje no es spam
        Dice que es spam
        El filtro dice que este mensaje es spam
        On dit que c'est spam
        Je pense que ce n'est pas spam
        Je dirais que c'est tout sauf spam
        Ich würde das nicht als spam einstufen
        Ich würde das als spam einstufen, wenn es einen Link hätte
        Es handelt sich nicht um spam
        Es handelt sich um keinen spam
        Es handelt sich um alles außer spam
    """,
    "intent": r"""
        refunded
        refund requests
        no refund request
        refund or shipping
        The refund was already paid, so this is about shipping.
        not a refund
        prerefund
        no refunds
        a refund-free order
        non-refund
    """,
    "mood": r"""
        non-negative
        not positive
        a false positive
        positively awful
        The test came back positive.
        Neither positive nor negative.
        more negative than positive
        positive → negative
        positive/negative
        mixed: positive and negative
        The tone isn't positive.
        The opposite of negative
        It would be positive without the last sentence.
        a double negative
        Positive aspects: the food. Negative aspects: none.
        less than positive
        nothing but negative, some would say
        positive (0.2), negative (0.5), neutral (0.3)
        far from neutral
        I'm positive that I cannot say.
        HIV positive
        positive, negative, or neutral
        anything but negative
        The author tries to be positive but fails.
        The sentiment could be positive or mixed.
        gender-neutral
        positive integer
        not exactly negative
        It can't be called negative.
        positive? negative?
    """,
    "degrees": r"""
        not very positive
        a very positively written text
        positive to very positive
        between positive and very positive
        somewhat less than very positive
        positive, no: very positive
        very, very negative or not
    """,
    "nli": r"""
        no entailment
        There is no contradiction.
        not a contradiction
        The premise does not lead to entailment.
        neither entailment nor contradiction
        non-contradiction
        contradiction in terms
        contradictions
        an apparent contradiction
        a seeming contradiction
        free of contradiction
        without contradiction
        entailment fails
        It lacks entailment
        entailment or neutral
    """,
    "letters": r"""
        Plan B
        Vitamin C
        Type A personality
        Team A won.
        hepatitis B
        at 5 a.m.
        A1
        AB
        A B
        A & B
        A+C
        A,C
        A\nB
        (A)(B)
        A-C
        A through C
        A to C
        B–D
        A is out
        A is eliminated
        A can be eliminated
        Eliminate A
        I would rule out A.
        Cross out A
        All except A
        All but D
        Any but C
        Everything but B
        A fails
        A is tempting
        A is close
        A is a distractor.
        A is a trap
        A is the wrong answer
        A is false
        A is incorrect.
        A: wrong
        A: incorrect
        A: false
        A - no
        A ✗
        A ❌
        ✗ A
        ❌ B
        A was my first guess
        My first guess was A
        I first thought A
        A would be right if it rained.
        If so, A
        A if it rains
        A unless it rains
        A?
        A or maybe not
        A (or so I guess, or B)
        A... no.
        C? No.
        not (A)
        ¬A
        !A
        ~A
        A'
        B+
        B-
        C#
        D.C.
        Washington D.C.
        C. elegans
        B. subtilis
        E. coli
        A. Einstein
        J. B. Smith
        A cat sat.
        A good answer needs more context.
        A, an article, is a word
        I don't know the answer, A
        None of A
        None of the above
        All of the above
        neither B
        A is not the answer
        The answer isn't B.
        The answer cannot be B
        The answer is anything but B
        The answer is not C, and not D
        The answer was B before the edit.
        Option B is wrong.
        Choice B can be discarded
        Answer: A or D
        Answer: none (A is closest)
        Answer: E
        Answer: AB
        Answer: A/B
        Answer: A and B
        Answer: A & D
        Answer: B+
        Answer: not B
        Answer: ~B
        Answer: B?
        Answer: (B) or (C)
        B or not B
        d'accord
        C'est la vie
        D-day
        A/C
        C°
        20 °C
        B2B
        B2
        USB-C
        X, Y, A
        abcd
        A B C D
        A. B. C. D.
        A) B) C)
        ABCD
        Which one is B
        What about B
        Let's look at B
        Let us consider B:
        Consider option B.
        Looking at option B
        Compare B
        See B
        cf. B
        a
        la
        the letter B appears twice
        Grade B movie
        Figure B
        Appendix C
        Section D
        Point B
        Class A drug
        B-flat
        C major
        The key of C
        J. R. B. Tolkien
        F. A. Hayek
        George W. B
        A. C. Doyle
        B. I do not know.
        A. I cannot answer this.
        A) Unable to tell.
        C. None of the above? No.
        B: unsure
        B: wrong
        $A or B$
        $\boxed{A or B}$
        \boxed{A,B}
        \boxed{\text{not } A}
        Set this to B if A fails
        Rate it as B or C
        選択肢AとB
        選択肢Bではない
        选项B不对
        选项A错误
        选A还是B
        不选B
        正解はBではない
        정답은 B가 아닙니다
        الإجابة ليست B
        Ответ не B
        Die Antwort ist nicht B
        La réponse n'est pas B
        La respuesta no es B
    """,
    "stars": r"""
        between 3 and 4
        3+
        3-
        3ish
        3-ish
        at least 3
        at most 3
        no more than 3
        more than 3
        less than 3
        under 3
        over 3
        above 3
        below 4
        up to 3
        almost 4
        nearly 4
        close to 4
        not 4
        3rd
        3e5
        3^2
        3x
        x3
        v3
        #3
        §3
        3:00
        12:3
        2024-03-01
        3.5
        3,5
        3½
        3 1/2
        3 and a half
        2 to 3
        2–3
        2..3
        2~3
        3 or 4
        3, maybe 4
        3 (was 2)
        3 → 4
        3 of 10
        3/10
        3 out of 10
        30
        03
        3.
        1
        3%
        30%
        3€
        €3
        3k
        3 million
        3 000
        3,000
        3 stars out of 5 or maybe 4
        3 minutes
        3 reviews
        There are 3 stars in the picture and I rate none
        It has 3 points against it.
        Step 3: read the text
        Question 3: what is it
        Review 3
        Review 3: bad
        I have 2 reasons
        2 reasons:
        1. It is long.
        1) The text is long
        1. I cannot tell
        No. 3
        -3
        ±3
        ~3
        ≈ 3
        >= 3
        <= 3
        != 3
        3!
        3?
        √4
        2²
        2nd
        ⅓
        III
        three
        0
        6
        10
        5.0001
        5 - 1
        5-1
        4+1
        1+1=2
        2*2
        (3
        minus 3
        negative 3
        half of 4
        twice 2
        double 2
        not a 5
        never a 5
        no 5
        5? No.
        5 would be too much
        A 5 would be too much.
        I can't give 5
        I was going to say 5
        It nearly got a 5
        It deserves more than 2
        It deserves less than 4
        1 star less than 5
        in 2023, 4 people died
        4 people out of 7
        4 pm
        4th of July
        4x4
        U2
        H2O
        Top 5
        Chapter 2
        1. The reviewer is angry.
        1. There are many flaws
        1) I like it\n2) I hate it
        1. It is fine. 2. It is short.
        => 3?
        >3 stars
        3 stars or fewer
        3 stars at most
        3 stars at best
        3 stars minimum
        a weak 3 or a strong 2
        Rating: 3-4
        Rating: 3 or 4
        Rating: < 3
        Rating: >= 3
        Rating: n/a (3)
        Bewertung: 3,5
        Puntuación: 3 o 4
        Оценка: 3 или 4
        评分：3.5
        评分：不是3
        評価：3か4
        점수: 3 또는 4
    """,
    "shares": r"""
        .5
        0,5
        0.55
        10.5
        0.5.1
        0.5%
        50%
        ~0.5
        > 0.5
        < 0.75
        0.25-0.5
        0.25 to 0.5
        1
        -0.5
        0.750
        not 0.5
    """,
    "yes": r"""
        No idea.
        no problem
        No comment.
        No one knows.
        no doubt
        No answer.
        No label.
        No information is given.
        No relevant evidence is given, so I cannot decide.
        No way to tell.
        No clue
        no-one
        nope
        yep
        Yes, but no.
        Yes and no
        Yes... no.
        yes/no
        yes or no
        Yes? No?
        Yes?
        no?
        not yes
        Not a yes
        I can't say yes.
        I wouldn't say no
        I would not answer yes
        maybe yes
        Yes if it rains
        yes, if it rains
        Yes, unless it rains
        no unless it rains
        It depends: yes in summer
        In some cases yes
        Sometimes yes
        Partly yes
        yes for some, no for others
        yesterday
        yes-man
        yes sir
        Is it yes
        Say yes
        One might say yes
        A yes would be wrong
        The text says yes
        The user wants a yes
        He answered yes
        She said no.
        The answer is not yes
        The answer isn't no.
        The answer is yes or no
        The answer is neither yes nor no
        A yes or no answer
        a yes/no question
        Yes\nNo
        yes no
        yesno
        no no yes
        n
        y
        noon
        not sure, yes
        Not sure. No.
        Unsure: yes
        no (unsure)
        no, maybe
        No. 1
        no 1
        no more
        no longer
        No such label
        no, yes
        Yes 😂 no
        ¿yes?
        yes yes no
        no, no, yes
        ok yes no
        Yes then no
        Yes / No
        Yes, unless
        Yes, provided that it rains
        Yes (if it rains)
        Yes, and no
        Yes; or no
        Yes, or not
        No, if it rains
        No (unless it rains)
        Yes\nor no
        Yes. However, the text says otherwise.
        Yes. But not really.
        No. Wait, yes
        Yes — in part
        No, except on Sundays
    """,
    "truth": r"""
        not true
        untrue
        falsehood
        not false
        half true
        partly true
        true or false
        true/false
        too good to be true
        If true, then it matters
        true if x > 3
        True? Hardly.
        false friend
        false alarm
        true crime
        !true
        != false
        not (true)
        neither true nor false
        true && false
        isTrue
        true-ish
        mostly false, partly true
        a false positive
        It is false that I know.
        It can't be true
        It's hardly true.
    """,
    "toxic": r"""
        not toxic
        nontoxic
        detoxic
        toxicity
        hardly toxic
        less toxic
        not non-toxic
        not very toxic
        toxic or non-toxic
        toxic?
        toxic waste
        The comment mentions toxic masculinity.
        toxic to fish
        toxic, no
        It's anything but toxic.
    """,
    "signs": r"""
        ++
        +-
        +/-
        ±
        not +
        !=
        ==
        - or +
        --
        +1
        -1
        a+b
        a - b
        =>
        + -
    """,
    "faces": r"""
        😀😡
        😀/😡
        not 😀
        no 😡
        😀?
        neither 😀 nor 😡
        😡 or 😐
        🙂
        😀→😡
        anything but 😐
        ❌😀
    """,
    "topics": r"""
        e-sports
        motorsports
        sports politics
        sportswear
        esports or sports
        sports and politics
        sports/politics
        not politics
        science
        technology
        office politics
        sports car
        sports bra
        politics-free
        geopolitics
        It's less about sports.
        It's about sports only on the surface
    """,
    "codes": r"""
        E
        E1000
        E1.5
        E1-E10
        E1/E10
        E1 or E10
        not E1
        E 1 0
        1E10
        E1E10
        >E1
        E1, E10
    """,
    "tongues": r"""
        C--
        Go++
        Golang
        Let's go
        Go on
        Go ahead.
        go to the next line
        Rusty
        rust-colored
        rusted iron
        C/C++
        Objective C
        C++ or Rust
        not Rust
        Vitamin C
        Go home
        C++11 vs. Rust
        C-like
        C89 and Rust
        Rust is not it
        anything but Go
        I go with the flow
        Here we go
        Way to go
    """,
    "urgency": r"""
        P0 or P1
        P0/P1
        P0-P1
        P0 → P1
        not P0
        P10
        P1.5
        >P1
        P1+
        at least P1
        at most P2
        below P1
        higher than P2
        P3
        between P0 and P2
        was P0
        P0 if it is down
        P
    """,
    "snake": r"""
        card lost or card not working
        card_lost_or_stolen
        not card_lost
        cards
        cardboard
        card_lost/card
        card_lost, card_not_working
        discard
        card-less
        credit card not accepted
    """,
    "german": r"""
        keine Beschwerde
        Das ist nicht als Beschwerde gemeint.
        Von einer Beschwerde kann keine Rede sein.
        alles außer Beschwerde
        Lob? Nein.
        weder Lob noch Beschwerde
        Lob oder Beschwerde
        Beschwerdebrief
        Verlobung
        Das wäre eine Beschwerde, wenn er wütend wäre
        Falls er wütend ist: Beschwerde
        vielleicht eine Beschwerde
        Ich bin unsicher, eventuell Lob
        Ich bezweifle, dass es Lob ist.
        eher kein Lob
        mehr Anfrage als Beschwerde
        Beschwerde scheidet aus
        Beschwerde ist auszuschließen
        Beschwerde: nein
        Beschwerde: falsch
        Beschwerde trifft es nicht
        Beschwerde passt nicht
        Beschwerde wäre übertrieben
        beinahe eine Beschwerde
        fast ein Lob
        scheinbar ein Lob
        angeblich ein Lob
        Ist das eine Beschwerde
        Ist das eine Beschwerde?
        Der Kunde nennt es eine Beschwerde.
        Beschwerde, obwohl es Lob enthält
        Lob ist es keins
        ein vergiftetes Lob
        Früher war es eine Beschwerde
        statt einer Beschwerde
        anstelle von Lob
        frei von Lob
        Lobbyarbeit
        Die Nachricht ist keine Beschwerde.
        Der Kunde sagt, das ist eine Beschwerde
        Die Nachricht ist eine Beschwerde oder Anfrage
        Es handelt sich um keine Beschwerde.
        Es handelt sich kaum um eine Beschwerde
        Ich würde das nie als Beschwerde einstufen
        Ich würde das ungern als Beschwerde einstufen
        Ich würde das als Beschwerde einstufen, falls er wütend ist
        Kategorie: keine Beschwerde
        Kategorie: Beschwerde oder Lob
        Kategorie: unklar, evtl. Beschwerde
        Die Kategorie Beschwerde passt nicht
        Das wäre keine Beschwerde
        Beschwerde, oder doch nicht
        Beschwerde (oder Reklamation)
        Beschwerde und Reklamation
        Beschwerde. Oder nicht.
        Beschwerde: eher nicht
    """,
    "ja_nein": r"""
        jain
        ja und nein
        ja oder nein
        Ja, aber nein
        Das ist ja toll
        Ich weiß es ja nicht
        ja?
        nicht ja
        Jahr
        neinsagen
        ja, wenn es regnet
        vielleicht ja
        ja, vielleicht
        mal ja, mal nein
        eher nein als ja
        Januar
    """,
    "french": r"""
        pas une réclamation
        ce n'est pas un éloge
        aucune réclamation
        tout sauf un éloge
        ni éloge ni réclamation
        éloge ou réclamation
        plutôt éloge que réclamation
        Est-ce une réclamation
        Est-ce une réclamation ?
        peut-être une réclamation
        réclamations
        réclamation exclue
        réclamation : non
        réclamation : faux
        ce serait une réclamation s'il était fâché
        loin d'être un éloge
        presque un éloge
        sans réclamation
        hors de question
        il n'en est pas question
        il est question de météo
        remise en question
        une réclamation ? Non.
        Le client dit que c'est une réclamation.
        à moins que ce soit une réclamation
        au lieu d'une réclamation
        Ce message n'est pas une réclamation.
        Ce message est tout sauf une réclamation
        La catégorie n'est pas réclamation.
        La catégorie est réclamation ou question.
        Le client pense que ce message est une réclamation
        Je ne classerais pas ce message comme réclamation.
        Je classerais ce message comme réclamation ou avis
        Ce serait une réclamation
        réclamation, si le client est fâché
        réclamation, ou avis
        réclamation ou avis
        réclamation, mais pas vraiment
        Catégorie : aucune réclamation
        Il ne s'agit pas d'une réclamation.
        Il s'agit moins d'une réclamation
    """,
    "oui": r"""
        oui et non
        oui ou non
        non pas
        oui mais non
        non-lieu
        ouïe
        oui, si
        peut-être oui
        ni oui ni non
        oui ?
        ne dites pas oui
        pas oui
    """,
    "spanish": r"""
        no es una queja
        ninguna queja
        sin queja
        para nada una queja
        cualquier cosa menos una queja
        queja o consulta
        ni queja ni elogio
        ¿es una queja?
        ¿queja?
        quejas
        queja: no
        queja: falso
        tal vez una queja
        quizás queja
        Dudo que sea una queja
        casi un elogio
        lejos de ser un elogio
        en lugar de una queja
        más consulta que queja
        sería una queja si gritara
        queja descartada
        El cliente dice que es una queja.
        Se queja de todo
        tampoco es un elogio
        Este mensaje no es una queja.
        Esto no es una queja
        No se trata de una queja.
        La categoría no es queja.
        La categoría es queja o sugerencia.
        Categoría: ninguna queja
        El cliente dice que esto es una queja
        No clasificaría este mensaje como queja.
        queja, si grita
        queja, o sugerencia
        queja (o sugerencia)
        queja, pero no del todo
        Es casi una queja
        Se trata de cualquier cosa menos una queja
    """,
    "si": r"""
        sí y no
        sí o no
        si
        si llueve
        no sé
        no lo sé
        No se puede saber
        sí, pero no
        no, sí
        ¿sí?
        sí, si llueve
        no aplica
        No hay datos.
        tal vez sí
    """,
    "russian": r"""
        это не жалоба
        вовсе не жалоба
        отнюдь не похвала
        ни жалоба, ни похвала
        жалоба или вопрос
        жалобы нет
        без жалоб
        это жалоба?
        это жалоба или вопрос?
        возможно, жалоба
        может быть, жалоба
        почти жалоба
        жалоба исключена
        жалоба: нет
        жалоба: неверно
        вряд ли жалоба
        едва ли похвала
        что угодно, только не жалоба
        сомневаюсь, что это жалоба
        если он зол, то жалоба
        была бы жалоба, если бы
        скорее вопрос, чем жалоба
        под вопросом
        Клиент пишет, что это жалоба
        вместо жалобы
        жалобаться
        нельзя сказать, что это жалоба
        далеко не похвала
        якобы жалоба
        раньше это была жалоба
        Это сообщение — не жалоба.
        Ответ — не жалоба
        Категория — не жалоба
        Данный текст не является жалобой
        Не считаю, что это жалоба
        Я не думаю, что это жалоба.
        Я считаю, что это не жалоба.
        Клиент считает, что это жалоба
        Сообщение — жалоба или вопрос
        жалоба, если он зол
        жалоба, или просьба
        жалоба и просьба
        жалоба — нет
        жалоба, но не совсем
        Сообщение относится не к категории жалоба
    """,
    "da": r"""
        да и нет
        да или нет
        да нет
        да нет наверное
        не да
        дата
        нет данных
        Нет ответа.
        да?
        может, да
        да, если
        ни да ни нет
        Нет, да
    """,
    "chinese": r"""
        不是投诉
        并非投诉
        这并不是投诉
        算不上投诉
        谈不上表扬
        不属于投诉
        排除投诉
        除投诉外
        投诉除外
        投诉还是咨询
        投诉或咨询
        投诉、咨询
        既不是投诉也不是表扬
        是投诉吗
        是投诉吗？
        这是投诉吗
        是不是投诉
        是否投诉
        投诉？
        可能是投诉
        也许是投诉
        未必是投诉
        怀疑是投诉
        很难说是投诉
        与其说是投诉
        如果他生气，就是投诉
        投诉：否
        投诉：不是
        投诉：错误
        投诉×
        非投诉
        无投诉
        没有投诉
        别选投诉
        不要选投诉
        投诉信
        反投诉
        看似投诉
        看似投诉，其实是抱怨
        客户说这是投诉
        投诉不对
        投诉不合适
        投诉的可能性很小
        以前是投诉
        差点是投诉
        自我表扬
        不选投诉
        答案不是投诉
        答案并非投诉
        不确定，投诉
        无法判断。投诉
        该文本不属于投诉类别。
        这段文字不属于投诉。
        因此不是投诉
        所以这不是投诉。
        根据内容，这不是投诉。
        分类结果：非投诉
        分类结果：不是投诉
        类别：投诉或建议
        投诉，如果客户生气
        投诉，或建议
        投诉和建议
        投诉：不
        投诉（否）
        投诉：低
        这是投诉吗，我不知道
        投诉类别不对
        投诉类别错误
        该评论的类别不是投诉
    """,
    "hen": r"""
        不太正面
        非正面
        正面和负面
        正面人物
        正负面
        半正面
        偏正面
        正面？
        不是负面的
        正面碰撞
        不完全正面
        并不负面
        未必正面
        正面为0
        负面新闻
        该评论的情感不是正面的。
        情感：非正面
        情感：正面？
        情感倾向：正面或中性
        这条评论并不是正面的
        这条评论是半正面的
    """,
    "japanese": r"""
        苦情ではない
        苦情ではありません
        苦情ではありませんでした
        苦情じゃない
        苦情とは言えない
        苦情とは言えません
        苦情以外
        苦情以外です
        苦情か質問
        苦情または質問
        苦情ですか
        苦情ですか？
        苦情でしょうか
        これは苦情ですか？
        苦情かもしれない
        苦情かもしれません
        苦情の可能性は低い
        苦情には該当しません
        苦情に当たらない
        苦情は除外
        苦情を除く
        非苦情
        苦情なし
        苦情は無い
        苦情：いいえ
        苦情：×
        ×苦情
        もし怒っているなら苦情です
        苦情だと思わない
        苦情だとは思いません
        苦情というより質問
        苦情ではなく質問
        質問に答えられません
        ご質問
        質問者
        客は苦情だと言っている
        苦情と間違えやすい
        苦情のように見えるが違う
        苦情に似ている
        まさか苦情
        以前は苦情でした
        苦情のはずがない
        苦情と称賛の中間
        「苦情」に該当しません。
        「苦情」に該当するとは言えません
        苦情に分類されません
        苦情に分類されるべきではない
        苦情と判断できません
        苦情に該当しますか
        苦情に該当するかもしれません
        したがって、苦情ではありません。
        選択は苦情ではない
        分類：苦情ではない
        分類：苦情または質問
        苦情です。いいえ、質問です。
        苦情、または要望
        苦情：低い
        苦情ですが、質問でもあります
        この顧客は苦情が多い
    """,
    "hai": r"""
        はいといいえ
        はいかいいえ
        はい？
        はいではない
        いいえではない
        はいとは言えない
        はいけい
        灰
        はい、いいえ
        たぶんはい
        どちらとも言えない
    """,
    "arabic": r"""
        ليست شكوى
        ليس شكوى
        هذه ليست شكوى
        لا شكوى
        بدون شكوى
        بلا شكوى
        غير شكوى
        ما هذه شكوى
        ليست شكوى ولا مدح
        شكوى أو سؤال
        شكوى أم سؤال
        هل هذه شكوى
        هل هذه شكوى؟
        شكوى؟
        ربما شكوى
        قد تكون شكوى
        كل شيء ما عدا شكوى
        إلا شكوى
        باستثناء شكوى
        شكوى: لا
        شكوى: خطأ
        لا أظن أنها شكوى
        أشك في أنها شكوى
        إذا كان غاضبا فهي شكوى
        بدلا من شكوى
        أقرب إلى سؤال منها إلى شكوى
        يقول العميل إنها شكوى
        شكوى ❌
        لم تكن شكوى
        مستبعد: شكوى
        بالكاد مدح
        هذه ليست شكوى.
        هذه الرسالة ليست شكوى.
        الإجابة ليست شكوى
        الإجابة هي ليست شكوى
        الفئة: ليست شكوى
        الفئة: شكوى أو اقتراح
        شكوى أو اقتراح
        شكوى، إذا كان غاضبا
        شكوى، أو اقتراح
        هل الإجابة هي شكوى
        هو يقول إنها شكوى
        إنها ليست شكوى
        إنها تشبه شكوى
    """,
    "naam": r"""
        نعم ولا
        نعم أو لا
        نعم أم لا
        لا أعرف
        لا أدري
        لا يمكن الجزم
        نعم؟
        ليس نعم
        ربما نعم
        لا جواب
        نعم إذا أمطرت
    """,
    "korean": r"""
        불만이 아닙니다
        불만이 아니다
        불만은 아닙니다
        불만이 아니에요
        불만이 없습니다
        불만 없음
        불만 아님
        불만 외
        불만을 제외
        불만 또는 문의
        불만인가요
        불만인가요?
        불만입니까
        불만입니까?
        불만일까요
        불만일 수도 있습니다
        아마 불만
        불만으로 보기 어렵습니다
        불만이라고 할 수 없습니다
        불만에 해당하지 않습니다
        불만: 아니오
        불만 ❌
        비불만
        불만족
        불만이라기보다 문의
        불만과 문의
        고객은 불만이라고 말합니다
        화가 났다면 불만입니다
        불만처럼 보이지만 문의
        거의 칭찬
        칭찬은커녕
        이것은 불만이 아닙니다.
        이 메시지는 불만이 아닙니다.
        이 메시지는 불만에 해당하지 않습니다.
        불만에 해당합니까
        불만에 해당합니다만 문의입니다
        정답은 불만이 아닙니다
        카테고리: 불만 아님
        카테고리: 불만 또는 문의
        불만, 또는 건의
        불만입니다. 아니요, 문의입니다.
        불만입니다만 아닐 수도
        불만스럽다
    """,
    "ne": r"""
        예와 아니요
        예 또는 아니요
        예?
        예가 아닙니다
        예를 들어
        예외
        예시
        아마 예
    """,
    "places": r"""
        Paris Hilton
        Paris, Texas
        not Paris
        Paris or London
        New London
        Londonderry
        East Berlin
        Berliner
        (a) London
        London (a)
        3. Paris
        d) Paris
        Option C: Paris
        Paris (London)
        Neither London
        London, not Paris
        far from London
        Parisian
        It was founded in Berlin but lies elsewhere.
        Anywhere but Berlin
        Where is Paris
        He was born in London.
        the London School
        via Paris
        Paris is ruled out
        Paris is the capital of the wrong country.
        (z) Paris
        e) London
        a) London
        (c) Paris
        Paris, if I had to guess wrong
        Paris or so
        Paris, and London?
    """,
    "marked": r"""
        1 or 2
        1, 2
        (1) dog
        (2) cat
        dog (3)
        not (1)
        (4)
        not a cat
        cat or dog
        birds
        12
        1.5
        (1) and (3)
        catalog
        hot dog
        (1)?
    """,
    "ag": r"""
        World Sports
        Sports/Business
        Tech
        Sci
        the world of sports
        It's a business with a sports arm
        The world is round, so who knows
        World War
        World Cup
        not Business
        none of your business
        Business or Sci/Tech
        Businesslike
        Sportsmanship
        neither World nor Sports
        Rather Business than World
    """,
    "none": r"""
        None of the above
        None of these, I think Billing
        Other than Billing
        other things
        None or Other
        Not Other
        Login problems aside
        I have none
        no one
        There is no other
        Billing? None.
        Billing and Login
        Billinger
    """,
    "binary": r"""
        0 or 1
        0/1
        01
        10
        0.0
        1.0
        -1
        +1
        1?
        not 1
        0-1
        between 0 and 1
        1 in 10
        100
        one
        1 reason is missing
        0 reasons
        True
        0, 1
        binary 1 or 0
    """,
    "grades": r"""
        A++
        A/A-
        A+ or A
        B+
        B-
        A to B
        not A
        A--
        between A- and A
        A - B
        A+/A
    """,
    "maybe": r"""
        yes, maybe
        maybe not
        maybe yes
        maybe, maybe not
        I don't know if yes
        yes or don't know
        no, don't know
        I don't think so
        not maybe
        don't
        know
    """,
    "likert": r"""
        not bad
        not very good
        not good
        so good, so bad
        good or very good
        goods
        badly
        very
        it's okay-ish
        neither good nor bad
        very very
        good, not very good
        bad? good?
        less than good
        ok or bad
        good enough? no
        a good deal of nothing
    """,
    "hier": r"""
        billing/other
        billing/refund or billing/invoice
        refund
        invoice
        billing/
        not billing
        billing or billing/refund
        rebilling
        billings
    """,
    "trec": r"""
        DESC or ENTY
        NUM/LOC
        HUMAN
        LOCATION
        not HUM
        ABBREVIATION
        DESCRIPTION
        NUMBER
        HUM?
        a hum in the air
    """,
    "emotion": r"""
        joyful
        enjoy
        no joy
        no anger
        no fear
        anger management
        fearless
        killjoy
        joy and fear
        neither joy nor fear
        more anger than fear
        no strong emotion
        Fear not
        without fear
    """,
    "stance": r"""
        for and against
        for example
        for or against
        not for
        not against
        for sure
        for now, unclear
        neither for nor against
        for the sake of
        I can't speak for them
        for what it's worth
        go for it
        against all odds it's for
    """,
    "greek": r"""
        δεν είναι παράπονο
        όχι παράπονο
        παράπονο ή έπαινος
        ούτε παράπονο ούτε έπαινος
        παράπονο;
        ίσως παράπονο
        κανένα παράπονο
        χωρίς παράπονο
        εκτός από παράπονο
    """,
    "hindi": r"""
        यह शिकायत नहीं है
        शिकायत या प्रशंसा
        न शिकायत न प्रशंसा
        क्या यह शिकायत है?
        शायद शिकायत
        शिकायत नहीं
    """,
    "thai": r"""
        ไม่ใช่ร้องเรียน
        ร้องเรียนหรือชมเชย
        ไม่ร้องเรียน
        ร้องเรียนหรือเปล่า
        อาจจะร้องเรียน
    """,
    "hebrew": r"""
        זו לא תלונה
        תלונה או שבח
        לא תלונה
        אין תלונה
        האם זו תלונה?
        אולי תלונה
    """,
    "turkish": r"""
        şikayet değil
        bu bir şikayet değil
        şikayet mi?
        şikayet veya övgü
        ne şikayet ne övgü
        belki şikayet
        şikayetçi
    """,
    "viet": r"""
        không phải khiếu nại
        khiếu nại hay khen ngợi
        chưa phải khiếu nại
        có thể là khiếu nại
        khiếu nại?
    """,
    "ital": r"""
        non è un reclamo
        reclamo o elogio
        né reclamo né elogio
        forse reclamo
        nessun reclamo
        tutt'altro che un reclamo
        è un reclamo?
        reclamo, se grida
        reclamo: no
        reclamo? No.
        quasi un elogio
    """,
    "port": r"""
        não é uma reclamação
        reclamação ou elogio
        nem reclamação nem elogio
        talvez reclamação
        nenhuma reclamação
        tudo menos reclamação
        é uma reclamação?
        reclamação: não
        quase um elogio
    """,
    "polish": r"""
        to nie skarga
        to nie jest skarga
        skarga czy pochwała
        ani skarga, ani pochwała
        może skarga
        żadna skarga
        skarga?
        skarga: nie
    """,
    "dutch": r"""
        geen klacht
        dit is geen klacht
        klacht of lof
        noch klacht noch lof
        misschien een klacht
        is dit een klacht?
        klacht: nee
        niet een klacht
        lofwaardig
        bijna een klacht
    """,
    "numbered": r"""
        1 or 2
        1-2
        2.5
        not 3
        12
        good or bad
        1 - good
        3 - bad
        (2) good
        ok? bad
        0
        4
        not good
        2 or 3 - good
    """,
    "lang": r"""
        en/de
        en or de
        de facto
        en route
        C'est en français.
        es ist Deutsch
        de rien
        not en
        en-US
        es que no
        en, de
    """,
    "months": r"""
        It may be june
        It may rain
        march on
        May or June
        may I ask
        in may or so it seems, march
        forced march
        a march of folly
        not may
        You may not know
        maybe
    """,
    "pos": r"""
        pronoun
        adverbial
        proverb
        noun or verb
        noun/verb
        not a noun
        noun phrase
        verb phrase
        a noun, or perhaps a verb
        auxiliary verb
        nouns
        It can be a noun or an adjective.
        Used as a noun, it would be a noun; here it isn't.
    """,
}
# What may be read all the same: the reply is the label, or only knowledge of the world tells that it is not
MAY = {
    ("stars", "3."): "3",
    ("stars", "1"): "1",
    ("stars", "3!"): "3",
    ("stars", "(3"): "3",
    ("letters", "a"): "A",
    ("letters", "A'"): "A",
    ("letters", "C. elegans"): "C",
    ("letters", "B. subtilis"): "B",
    ("letters", "A. Einstein"): "A",
    ("letters", "A, an article, is a word"): "A",
    ("shares", "1"): "1.0",
    ("yes", "yes sir"): "yes",
    ("mail", "It seems to be spam; it is a bill."): "spam",
}
# Given, and refused all the same: other replies of this form give nothing ("Spam is a canned meat.", "正面人物")
REFUSED = [("stars", "Note : 4"), ("hen", "正面评价"), ("places", "Paris is the capital of France.")]

BENIGN = {
    "mail": {
        "spam": r"""
            Spam.
            SPAM
            spam!
            It's spam.
            This is spam.
            This is spam mail.
            I think it's spam.
            I'd label this as spam.
            I would label this email as "spam".
            Label: **spam**
            label - spam
            Prediction: spam
            Predicted label: spam
            Final label: spam
            Output: spam
            Result: spam.
            The classification is spam.
            The email is spam because it sells pills.
            Spam, because it sells pills
            spam – it sells pills
            spam (it sells pills)
            This email should be labeled spam.
            This email should be classified as "spam".
            The best label is spam.
            I am confident that this is spam.
            Clearly spam.
            Definitely spam
            Most likely spam.
            {"label":"spam"}
            {"label": "spam", "confidence": 0.93}
            {"answer": "spam"}
            ```json\n{"label": "spam"}\n```
            ["spam"]
            <output>spam</output>
            `spam`
            *spam*
            ### Answer\n\nspam
            **Answer:** spam
            Answer: spam\n\nExplanation: The mail sells pills and has a strange sender.
            spam\n\nThe sender wants money.
            The mail asks for money.\n\nspam
            The mail asks for money. So the answer is spam.
            Reasoning: it asks for money.\nLabel: spam
            Let's see. The mail asks for money. It is spam.
            Das ist Spam.
            Antwort: Spam
            Réponse : spam
            C'est du spam.
            Respuesta: spam
            Es spam.
            Ответ: spam
            答案：spam
            これはspamです。
            Sure, here is the label:\n\nspam
            Certainly! The label is: spam
            Category: Spam
            I'm quite sure that this is spam.
            I would classify the message as spam.
            I'd tag this email as spam.
            I would mark this as spam.
            Very likely spam.
            Clearly spam!
            Obviously spam, since it sells pills.
            Evidently spam.
            Label: spam\nConfidence: high
            Label: spam\nConfidence: 0.9
            {"label": "spam", "score": 0.97}
            spam. The link goes to a shop and asks for a card number.
            spam: the sender wants money
            This message falls under spam.
            In my opinion, this is spam.
            Given the links, I would say spam.
            The text sells pills, which means it is spam.
        """,
        "ham": r"""
            ham
            Ham.
            It's ham.
            Label: ham
            I would classify this as ham.
            This is ham, as it comes from a friend.
        """,
    },
    "intent": {
        "refund": r"""
            refund
            Refund
            Intent: refund
            The intent is refund.
        """,
        "refund request": r"""
            refund request
            Refund Request
            refund_request
            This is a refund request.
            The customer's intent: refund request
        """,
        "no refund": r"""
            no refund
            No refund.
            Label: no refund
        """,
    },
    "mood": {
        "positive": r"""
            Positive
            positive.
            The sentiment is positive.
            The sentiment of this review is positive.
            The overall sentiment of the text is positive.
            Sentiment: Positive
            **Sentiment:** Positive
            Sentiment: positive (95%)
            The review is positive.
            The review is clearly positive.
            This review expresses a positive sentiment.
            This text has a positive tone.
            Overall, the review is positive.
            I would say that it is positive.
            The reviewer loved the film, so the sentiment is positive.
            Based on the wording, the sentiment is positive.
            positive 👍
            Positive: the author praises the food
        """,
        "negative": r"""
            Negative
            The sentiment is negative.
            Negative – the author is angry.
            The tone is negative.
            Sentiment = negative
        """,
        "neutral": r"""
            neutral
            The sentiment is neutral.
            Neutral, because it states facts
        """,
    },
    "degrees": {
        "very positive": r"""
            very positive
            Very positive.
            This is very positive.
            The review is very positive.
        """,
        "positive": r"""
            positive
            The review is positive.
        """,
    },
    "nli": {
        "entailment": r"""
            Entailment
            entailment.
            The relationship is entailment.
            Label: entailment
            The answer is entailment because the premise says so.
        """,
        "contradiction": r"""
            contradiction
            This is a contradiction.
            Answer: Contradiction.
        """,
        "neutral": r"""
            Neutral
            The relation is neutral.
        """,
    },
    "letters": {
        "A": r"""
            A
            A.
            (A)
            A)
            [A]
            **A**
            Answer: A
            The answer is A.
            The correct answer is A.
            The correct answer is (A).
            Option A
            Choice A.
            A is correct.
            A is the right answer.
            I choose A.
            I'd go with A.
            {"answer": "A"}
            A. Because the sky is blue
        """,
        "B": r"""
            **Answer: B**
            Answer: **B**
            **B.**
            **B)** Rome
            B. Rome
            B) Rome
            B: Rome
            B - Rome
            The correct answer is **B) Rome**.
            The correct answer is B. Rome.
            The best answer is B because Rome is the capital.
            My answer is B
            I think the answer is B.
            Therefore, the answer is B.
            So the answer is (B).
            Thus, option B is correct.
            Final answer: B
            Correct answer: B
            The answer: B
            \boxed{B}
            $\boxed{B}$
            <answer>B</answer>
            b
            Rome is the capital of Italy. The answer is B.
            Rome is the capital of Italy.\n\nAnswer: B
            Antwort: B
            Die Antwort ist B.
            La réponse est B.
            La respuesta es B.
            Ответ: B
            答案：B
            答案是B
            選択肢B
            正解：B
            정답: B
            الإجابة: B
            $B$
            $\boxed{\text{B}}$
            \(\boxed{B}\)
            I'd rate it as B
            Der richtige Buchstabe ist B.
            Die richtige Antwort ist B.
            Richtige Antwort: B
            Bonne réponse : B
            La bonne réponse est B.
            La bonne réponse est la B.
            La respuesta correcta es B.
            La respuesta correcta es la B.
            Respuesta correcta: B
            Правильный ответ: B
            Правильный ответ — B
            正确答案：B
            正确答案是B。
            正确选项是B
            正解はBです。
            정답은 B입니다.
            答えはBです
            الإجابة الصحيحة: B
            الإجابة الصحيحة هي B
            A resposta correta é B.
            La risposta corretta è B.
        """,
    },
    "stars": {
        "4": r"""
            4
            4.
            **4**
            (4)
            4 stars
            Rating: 4
            Score: 4
            Stars: 4
            The rating is 4.
            I would rate it 4.
            I'd give it a 4.
            I give it 4 stars.
            4 - good
            4: good
            4 because it is good
            {"rating": 4}
            {"stars": "4"}
            Bewertung: 4
            Note : 4
            Puntuación: 4
            Оценка: 4
            评分：4
            評価：4
            점수: 4
            التقييم: 4
        """,
    },
    "shares": {
        "0.5": r"""
            0.5
            0.5.
            Score: 0.5
            The score is 0.5
            **0.5**
        """,
    },
    "yes": {
        "yes": r"""
            Yes
            yes.
            YES!
            Yes, it does.
            Yes, because it rained.
            Yes - it rained
            Yes. The text says that it rained.
            The answer is yes.
            Answer: Yes
            **Yes**
            I would say yes.
            {"answer": "yes"}
            Yes, that is correct.
            Yes, it is.
            Yes, absolutely.
            Yes, the text mentions rain.
            Yes, exactly.
            Yes, definitely.
            Yes. It rained all day.
            Yes, the answer follows from line two.
            Yes, this is correct.
        """,
        "no": r"""
            No
            no.
            No!
            No, it does not.
            No, because it rained.
            No. The text does not say so.
            The answer is no.
            Answer: No
            **No**
            No, it isn't.
            {"answer": "no"}
            No - the text is about snow
            No, that is wrong.
            No, this does not follow.
            No. Nothing in the text says so.
        """,
    },
    "truth": {
        "true": r"""
            True
            true.
            The statement is true.
            This is true.
            Answer: True
            {"answer": true}
            It is true.
        """,
        "false": r"""
            False
            The statement is false.
            False, because it rained.
            The claim is false.
            Answer: False
        """,
    },
    "toxic": {
        "toxic": r"""
            toxic
            Toxic.
            The comment is toxic.
            This is toxic because it insults people.
        """,
        "non-toxic": r"""
            non-toxic
            Non-toxic.
            The comment is non-toxic.
            Label: non-toxic
            non toxic
        """,
    },
    "signs": {
        "+": r"""
            +
            (+)
            Answer: +
            **+**
        """,
    },
    "faces": {
        "😀": r"""
            😀
            😀.
            Answer: 😀
            I choose 😀
            The emoji is 😀
        """,
    },
    "topics": {
        "esports": r"""
            esports
            Esports
            Topic: esports
        """,
        "sports": r"""
            Sports
            The topic is sports.
            This article is about sports.
            The article belongs to the category sports.
        """,
        "science & technology": r"""
            Science & Technology
            The topic is science & technology.
            Category: Science & Technology
        """,
    },
    "codes": {
        "E1": r"""
            E1
            Code: E1
            e1
        """,
        "E10": r"""
            E10
            The code is E10.
        """,
    },
    "tongues": {
        "Go": r"""
            Go
            Language: Go
            The language is Go.
        """,
        "C++": r"""
            C++
            C++.
            The code is written in C++.
            Language: C++
        """,
        "Rust": r"""
            Rust
            It's Rust.
            This is Rust code.
        """,
    },
    "urgency": {
        "P1": r"""
            P1
            Priority: P1
            The priority is P1.
            P1 - login is broken
            I would set this to P1.
        """,
    },
    "snake": {
        "card_lost": r"""
            card_lost
            card lost
            Card_Lost
            The intent is card_lost.
        """,
        "card_not_working": r"""
            card_not_working
            card not working
            Intent: card_not_working
        """,
    },
    "german": {
        "Beschwerde": r"""
            Beschwerde
            Beschwerde.
            beschwerde
            Kategorie: Beschwerde
            Die Kategorie ist Beschwerde.
            Die richtige Kategorie ist: Beschwerde
            Die Antwort lautet: Beschwerde
            Das ist eine Beschwerde.
            Es ist eine Beschwerde.
            Es handelt sich um eine Beschwerde.
            Dies ist eine Beschwerde, weil der Kunde wütend ist.
            Ich würde das als Beschwerde einstufen.
            Ich ordne dies der Kategorie „Beschwerde“ zu.
            Der Text ist eine Beschwerde.
            **Beschwerde**
            Antwort: **Beschwerde**
            Klassifikation: Beschwerde
            Beschwerde, denn der Kunde ist wütend
            Die Nachricht ist eine Beschwerde.
            Der Kommentar ist eine Beschwerde.
            Diese Nachricht ist eine Beschwerde.
            Diese Nachricht gehört zur Kategorie Beschwerde.
            Es handelt sich hier um eine Beschwerde.
            Hier handelt es sich um eine Beschwerde.
            Ich würde die Nachricht als Beschwerde einstufen.
            Ich würde dies als Beschwerde klassifizieren.
            Die passende Kategorie ist „Beschwerde“.
            Einordnung: Beschwerde
            Meiner Meinung nach ist das eine Beschwerde.
            Eindeutig eine Beschwerde.
        """,
        "Lob": r"""
            Lob
            Das ist Lob.
            Kategorie: Lob
        """,
    },
    "ja_nein": {
        "ja": r"""
            Ja
            Ja.
            Antwort: ja
            Ja, das stimmt.
            Ja, weil es regnet.
        """,
        "nein": r"""
            Nein
            Nein, das stimmt nicht.
            Die Antwort ist nein.
        """,
    },
    "french": {
        "réclamation": r"""
            réclamation
            Réclamation.
            Catégorie : réclamation
            La catégorie est « réclamation ».
            C'est une réclamation.
            Il s'agit d'une réclamation.
            La réponse est réclamation.
            Réponse : réclamation
            Je classerais ce message comme réclamation.
            Ce message est une réclamation.
            **Réclamation**
            réclamation, car le client est fâché
            Ce texte est une réclamation.
            Cette phrase est une réclamation.
            Ceci est une réclamation.
            Classe : réclamation
            La bonne catégorie est : réclamation
            La catégorie correcte est « réclamation ».
            Je dirais que c'est une réclamation.
            Il s'agit clairement d'une réclamation.
        """,
    },
    "oui": {
        "oui": r"""
            Oui
            Oui.
            Réponse : oui
            La réponse est oui.
            Oui, parce qu'il pleut.
        """,
    },
    "spanish": {
        "queja": r"""
            queja
            Queja.
            Categoría: queja
            La categoría es queja.
            La categoría correcta es queja.
            Es una queja.
            Se trata de una queja.
            Esto es una queja.
            Respuesta: queja
            La respuesta es: queja
            Este mensaje es una queja.
            Clasificaría este mensaje como queja.
            queja, porque el cliente está enfadado
            Este texto es una queja.
            El mensaje es una queja.
            Clasificación: queja
            La opción correcta es «queja».
            Diría que es una queja.
            Clasificaría esto como queja.
            Claramente es una queja.
        """,
    },
    "si": {
        "sí": r"""
            Sí
            Sí.
            Respuesta: sí
            La respuesta es sí.
            Sí, porque llueve.
        """,
    },
    "russian": {
        "жалоба": r"""
            жалоба
            Жалоба.
            Категория: жалоба
            Ответ: жалоба
            Это жалоба.
            Это жалоба, потому что клиент зол.
            Правильный ответ: жалоба
            Правильный ответ — жалоба.
            Категория — жалоба.
            Данное сообщение относится к категории «жалоба».
            Данный текст — жалоба.
            Я считаю, что это жалоба.
            **Жалоба**
            Класс: жалоба
            Это сообщение — жалоба.
            Это сообщение является жалоба
            Сообщение относится к категории «жалоба».
            Ответ — жалоба
            Верный ответ: жалоба.
            Я думаю, что это жалоба.
            Класс — жалоба
            Жалоба, так как клиент недоволен
            Скорее всего, это жалоба.
        """,
    },
    "da": {
        "да": r"""
            Да
            Да.
            Ответ: да
            Да, потому что идёт дождь.
        """,
        "нет": r"""
            Нет
            Нет.
            Ответ: нет
        """,
    },
    "chinese": {
        "投诉": r"""
            投诉
            投诉。
            答案：投诉
            答案是投诉。
            类别：投诉
            分类结果：投诉
            标签：投诉
            这是投诉。
            这是一个投诉
            这是一条投诉。
            我认为这是投诉。
            属于投诉
            该文本属于投诉类别。
            这段文字属于投诉。
            “投诉”
            【投诉】
            **投诉**
            投诉，因为客户很生气。
            因此，答案是投诉。
            所以这是投诉。
            根据内容，这是投诉。
            这条评论属于投诉。
            这条消息是投诉。
            该内容属于投诉类
            最终答案：投诉
            正确答案：投诉
            正确答案是投诉。
            类别是投诉
            综上所述，这是投诉。
            我会选投诉
            这封邮件是投诉。
            文本类别：投诉
            该句子的类别是投诉。
        """,
    },
    "hen": {
        "正面": r"""
            正面
            情感：正面
            这条评论是正面的。
            该评论的情感是正面的。
            情感倾向：正面
            正面评价
            情感分析结果：正面
            整体情感：正面
            情绪：正面
            这是正面的。
            评论是正面的。
        """,
        "负面": r"""
            负面
            情感倾向是负面的。
            情感：负面。
        """,
    },
    "japanese": {
        "苦情": r"""
            苦情
            苦情。
            苦情です。
            これは苦情です。
            カテゴリ：苦情
            カテゴリー：苦情
            分類：苦情
            答え：苦情
            回答：苦情
            「苦情」
            「苦情」です。
            「苦情」に該当します。
            このメッセージは苦情です。
            このテキストは苦情に分類されます。
            したがって、苦情です。
            苦情（お客様が怒っているため）
            **苦情**
            正解は苦情です。
            この文章は苦情です。
            この文章は苦情に該当します。
            こちらは苦情です。
            よって、苦情です。
            カテゴリは苦情です。
            分類結果：苦情
            苦情と判断されます。
            苦情だと思います。
            最終回答：苦情
        """,
    },
    "hai": {
        "はい": r"""
            はい
            はい。
            答え：はい
            はい、そうです。
        """,
        "いいえ": r"""
            いいえ
            いいえ。
            答え：いいえ
        """,
    },
    "arabic": {
        "شكوى": r"""
            شكوى
            شكوى.
            الفئة: شكوى
            التصنيف: شكوى
            الإجابة: شكوى
            الإجابة هي شكوى
            الإجابة هي: شكوى
            هذه شكوى.
            هذه الرسالة شكوى.
            "شكوى"
            **شكوى**
            الإجابة الصحيحة: شكوى
            هذا النص شكوى.
            إنها شكوى.
            النتيجة: شكوى
            هذه الرسالة هي شكوى.
            الفئة هي شكوى.
        """,
    },
    "naam": {
        "نعم": r"""
            نعم
            نعم.
            الإجابة: نعم
            الإجابة هي نعم.
        """,
        "لا": r"""
            لا
            لا.
            الإجابة: لا
        """,
    },
    "korean": {
        "불만": r"""
            불만
            불만.
            불만입니다.
            정답: 불만
            카테고리: 불만
            분류: 불만
            답: 불만
            이것은 불만입니다.
            이 메시지는 불만입니다.
            이 메시지는 불만에 해당합니다.
            "불만"
            **불만**
            정답은 불만입니다.
            이 글은 불만입니다.
            이 문장은 불만에 해당합니다.
            분류 결과: 불만
            카테고리는 불만입니다.
            따라서 불만입니다.
            답변: 불만
            불만으로 분류됩니다.
            최종 답: 불만
        """,
    },
    "ne": {
        "예": r"""
            예
            예.
            정답: 예
            답: 예
        """,
    },
    "places": {
        "Paris": r"""
            Paris
            (a)
            a) Paris
            (a) Paris
            The answer is Paris.
            Paris is the capital of France.
            The capital of France is Paris.
            Option A: Paris
            1. Paris
            Paris (a)
        """,
        "London": r"""
            London
            (b) London
            **London**
        """,
    },
    "marked": {
        "(1) cat": r"""
            1
            (1)
            (1) cat
            1. cat
            1) cat
            cat
            It is a cat.
            The answer is (1).
            The answer is 1.
            Answer: 1
            Cat
        """,
        "(2) dog": r"""
            2
            dog
            The answer is (2) dog.
        """,
    },
    "ag": {
        "Sci/Tech": r"""
            Sci/Tech
            sci/tech
            The category is Sci/Tech.
            This article belongs to Sci/Tech.
        """,
        "Business": r"""
            Business
            This is a Business article.
            The topic of this article is Business.
            Category: Business
        """,
        "World": r"""
            World
            The article falls under World.
        """,
    },
    "none": {
        "None": r"""
            None
            None.
            The answer is None.
            Category: None
        """,
        "Other": r"""
            Other
            Category: Other
        """,
        "Billing": r"""
            This is a billing issue.
            Billing: the customer was charged twice
            The customer was charged twice. Category: Billing
        """,
    },
    "binary": {
        "1": r"""
            1
            1.
            Label: 1
            The answer is 1.
            Class 1
            {"label": 1}
            Prediction: 1
            1 (spam)
        """,
        "0": r"""
            0
            **0**
            Output: 0
        """,
    },
    "grades": {
        "A-": r"""
            A-
            Grade: A-
            The grade is A-.
        """,
        "A": r"""
            A
            Grade: A
            I would give it an A.
        """,
        "A+": r"""
            A+
            (A+)
        """,
    },
    "maybe": {
        "maybe": r"""
            maybe
            Maybe.
            The answer is maybe.
        """,
        "don't know": r"""
            don't know
            Don’t know
            Answer: don't know
        """,
        "no": r"""
            No.
            Answer: no
        """,
    },
    "likert": {
        "very good": r"""
            very good
            Very good!
            The review is very good.
            Rating: very good
            It is very good.
        """,
        "bad": r"""
            bad
            The rating is bad.
            Bad, because it broke
        """,
    },
    "hier": {
        "billing/refund": r"""
            billing/refund
            Billing/Refund
            The category is billing/refund.
            Intent: billing/refund
        """,
        "billing": r"""
            billing
            Category: billing
        """,
    },
    "trec": {
        "HUM": r"""
            HUM
            HUM: it asks for a person
            The question type is HUM.
            The answer is HUM.
        """,
        "NUM": r"""
            NUM
            Label: NUM
            num
        """,
    },
    "emotion": {
        "joy": r"""
            joy
            The emotion is joy.
            The text expresses joy.
            The author feels joy
            The dominant emotion is joy.
        """,
        "no emotion": r"""
            no emotion
            No emotion.
            The text shows no emotion.
        """,
    },
    "stance": {
        "for": r"""
            for
            Stance: for
            The stance is for.
        """,
        "against": r"""
            against
            The author is against.
            Stance: against
        """,
        "neither": r"""
            neither
            Neither.
        """,
    },
    "greek": {
        "παράπονο": r"""
            παράπονο
            Παράπονο.
            Απάντηση: παράπονο
            Είναι παράπονο.
        """,
    },
    "hindi": {
        "शिकायत": r"""
            शिकायत
            उत्तर: शिकायत
            यह शिकायत है।
        """,
    },
    "thai": {
        "ร้องเรียน": r"""
            ร้องเรียน
            คำตอบ: ร้องเรียน
            คำตอบคือ ร้องเรียน
        """,
    },
    "hebrew": {
        "תלונה": r"""
            תלונה
            תשובה: תלונה
            זו תלונה.
        """,
    },
    "turkish": {
        "şikayet": r"""
            şikayet
            Şikayet.
            Cevap: şikayet
            Kategori: şikayet
            Bu bir şikayet.
        """,
    },
    "viet": {
        "khiếu nại": r"""
            khiếu nại
            Khiếu nại.
            Câu trả lời: khiếu nại
            Đây là khiếu nại.
        """,
    },
    "ital": {
        "reclamo": r"""
            reclamo
            Categoria: reclamo
            È un reclamo.
            Si tratta di un reclamo.
            Questo messaggio è un reclamo.
            La risposta è: reclamo
        """,
    },
    "port": {
        "reclamação": r"""
            reclamação
            Categoria: reclamação
            É uma reclamação.
            Esta mensagem é uma reclamação.
            Trata-se de uma reclamação.
            Resposta: reclamação
        """,
    },
    "polish": {
        "skarga": r"""
            skarga
            Skarga.
            Kategoria: skarga
            To jest skarga.
            Odpowiedź: skarga
        """,
    },
    "dutch": {
        "klacht": r"""
            klacht
            Categorie: klacht
            Dit is een klacht.
            Het antwoord is klacht.
            Antwoord: klacht
            Deze tekst is een klacht.
        """,
    },
    "numbered": {
        "3 - good": r"""
            3 - good
            3
            good
            3 - Good
            The answer is 3.
            3: good
        """,
    },
    "lang": {
        "de": r"""
            de
            Language: de
            The language is de.
            DE
            `de`
        """,
    },
    "months": {
        "may": r"""
            May
            Label: May
            The answer is May.
        """,
        "march": r"""
            March
            It is March.
        """,
    },
    "pos": {
        "noun": r"""
            noun
            It is a noun.
            The word is a noun.
            Noun.
            In this sentence, it is a noun.
        """,
    },
}
