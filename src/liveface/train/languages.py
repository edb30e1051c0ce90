"""Sentences for synthetic voices in twelve languages, and the way from their phonemes to the phones of this project.

Notable choices: the sentences are our own and rich in what must be seen (p b m, f v, o u w); the first `HELD_OUT` of
each language are spoken for scores only, by voices that no training hears; a phoneme of any language becomes the
ARPABET phones that look like it, because the phone teacher and the firm poses know those: a front rounded vowel looks
like its back neighbour, a bilabial fricative nearly like b, a uvular like k.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from liveface.errors import SignalError
from liveface.train.phones import Phone

CLOSURE_S = 0.05  # by which the closure of p, t and k begins before its burst (measured: 40 to 50 ms)
LEAST_S = 0.02  # a sound that gets no time of its own takes half of what it and the one before have

HELD_OUT = 3
"""The first sentences of each language are never trained on."""

VOICES: dict[str, str] = {
    "en": "en-us", "de": "de", "fr": "fr", "es": "es", "it": "it", "pt": "pt-br", "ja": "ja", "zh": "cmn",
    "ko": "ko", "ru": "ru", "nl": "nl", "pl": "pl",
}  # fmt: skip
"""Voices of espeak-ng by language."""

SENTENCES: dict[str, tuple[str, ...]] = {
    "en": (
        "Mum bought five pumpkins before the farm shop closed.",
        "We will move over the wide river when the wolves have vanished.",
        "Paul proved above all that brave people often whisper.",
        "My brother built a boat from bamboo and a few old pipes.",
        "Five of you may wait while the others follow the blue van.",
        "What would you do if nobody ever came to the window?",
        "Please put a spoonful of pepper in my bowl of beef soup.",
        "The movie is about a woman who loved to sew for an opera.",
        "Phone me before you leave, for I might be upstairs.",
        "Both of us would prefer warm bread with plum jam.",
        "Who knows why the moon moves so slowly over the roof?",
        "Every evening the baker whistles, bows, and bolts the shop.",
        "Seven thousand visitors found the museum rather empty.",
        "Just give us a moment, we are choosing better shoes.",
        "Maybe a bit of music will improve the mood of the family.",
    ),
    "de": (
        "Am Abend backt Oma Pumpernickel und öffnet ein Fenster.",
        "Vier fromme Bauern wollen über die Brücke fahren.",
        "Bitte bring mir morgen ein Buch und fünf Pflaumen mit.",
        "Mein Bruder baut ein Boot aus Pappe und bemalt es blau.",
        "Wer viel übt, wird bald besser pfeifen können.",
        "Auf dem Markt kaufen wir Äpfel, Birnen und etwas Wurst.",
        "Warum bleibt der Bus vor dem Museum so lange stehen?",
        "Ein schöner Mond schwebt über dem ruhigen Wasser.",
        "Papa vergaß beim Umzug wieder seine alte Lampe.",
        "Möchtest du vielleicht noch eine Tasse warme Milch?",
        "Im Februar fiel so viel Schnee, dass niemand fuhr.",
        "Das Publikum war begeistert und rief laut bravo.",
        "Komm, wir probieren einmal diese bunten Hüte auf.",
        "Ohne Hoffnung wäre das Leben wohl kaum zu ertragen.",
        "Zum Frühstück gibt es Brot, Butter und Pfirsichmus.",
    ),
    "fr": (
        "Papa voulait planter un pommier au fond du village.",
        "Nous avons vu beaucoup de bateaux blancs sur le fleuve.",
        "Ma voisine prépare une soupe avec du beurre et des fèves.",
        "Bonjour, pouvez-vous ouvrir la porte du bureau?",
        "Une pomme, un melon et vingt abricots pour la famille.",
        "Il faut beaucoup de patience pour bâtir un pont.",
        "Où vont les oiseaux quand il pleut vraiment fort?",
        "Le boulanger fume parfois devant la boutique vide.",
        "Je voudrais bien un verre d'eau et un peu de vin.",
        "Au mois de novembre, la brume couvre tout le port.",
        "Mon frère aime la musique, moi je préfère le théâtre.",
        "Pouvons-nous apporter des fleurs bleues à maman?",
        "Cet homme veut vendre son vieux vélo rouge.",
        "Un bon film commence souvent par un mystère.",
        "Voilà pourquoi personne ne me répond jamais.",
    ),
    "es": (
        "Mi abuelo compró un burro pequeño en el pueblo.",
        "Por favor, pon un poco de pimienta en la sopa.",
        "El viento mueve las hojas y nubla todo el campo.",
        "Mañana viajaremos en un barco blanco con velas.",
        "Bebo café por la mañana y vino por la noche.",
        "Una paloma voló sobre el puente del río.",
        "Fuimos a ver una película muy buena y famosa.",
        "Pablo busca la bufanda que perdió en febrero.",
        "Vamos a comprar pan, uvas y un melón maduro.",
        "No puedo mover este mueble sin tu ayuda.",
        "La familia empieza a preparar la fiesta del domingo.",
        "Hubo un momento en que nadie supo qué hacer.",
        "El bombero subió por la ventana y salvó al bebé.",
        "Me gusta mucho la música de aquel viejo piano.",
        "Siempre hay una pregunta fácil en cada examen.",
    ),
    "it": (
        "Mia mamma prepara il pane per tutta la famiglia.",
        "Vorrei una bottiglia d'acqua e un buon piatto di pasta.",
        "Il bambino vuole un palloncino blu e uno viola.",
        "Dopo il ponte troverete un piccolo bar famoso.",
        "Non bevo mai il vino prima di mezzogiorno.",
        "Ieri abbiamo visto un film molto buffo e breve.",
        "Perché il gatto dorme sempre sopra il mobile?",
        "Un uomo con la barba vende fiori e uova fresche.",
        "Possiamo partire subito se non piove troppo.",
        "Ho comprato pomodori, funghi e un po' di burro.",
        "La nuova opera comincia alle nove e mezza.",
        "Quando viene l'inverno la montagna è bianca.",
        "Fabio ha dimenticato l'ombrello in ufficio.",
        "Chi va piano va sano e va lontano, dice il nonno.",
        "Buonasera, abbiamo ancora posto per quattro persone?",
    ),
    "pt": (
        "Meu pai comprou um barco pequeno e uma bola azul.",
        "Por favor, ponha um pouco de manteiga no pão.",
        "A família viaja no verão para uma ilha bem famosa.",
        "O bombeiro viu fumo perto da ponte velha.",
        "Bebemos café forte e comemos bolo de maçã.",
        "Você pode abrir a porta e fechar a janela?",
        "Uma pomba voou por cima do nosso telhado.",
        "Vamos buscar uvas, figos e um melão maduro.",
        "O filme começa às nove e acaba muito tarde.",
        "Minha avó faz uma sopa ótima com feijão preto.",
        "Ninguém sabe por que o museu ficou vazio.",
        "Fomos embora antes que a chuva começasse.",
        "O povo bateu palmas e pediu mais música.",
        "Hoje o vento move as folhas devagar.",
        "Eu queria um bom livro e um momento de paz.",
    ),
    "ja": (
        "まいばん ぼくは ふるい まどの そばで ほんを よむ。",
        "ぶどうと ももを ふたつずつ ください。",
        "ふゆの うみは あおくて、ふねが ゆっくり うごく。",
        "えきまえの ぱんやで めろんぱんを かいました。",
        "おばあさんは ぽけっとから まめを ぜんぶ だした。",
        "ふうせんが たかく のぼって、みえなく なった。",
        "あめが ふる まえに、いぬと こうえんを あるこう。",
        "もういちど ゆっくり はなして もらえますか。",
        "わたしの ともだちは うたを うたうのが すきです。",
        "びじゅつかんの いりぐちで ぼうしを ぬいだ。",
        "ぷうるで およいだ あと、みんなで すいかを たべた。",
        "むかし、この むらには ちいさな はしが あった。",
        "まどを あけると、つめたい かぜが ふいて きた。",
        "ぶんかさいは どようびの ごぜんに はじまります。",
        "ばんごはんの まえに、おふろへ はいりましょう。",
    ),
    "zh": (
        "爸爸买了八本书，妈妈泡了一杯茶。",
        "我和朋友明天要坐飞机去北方。",
        "风吹过湖面，白鸟飞得很慢。",
        "请把门打开，外面有人送包裹。",
        "我们每年都去山里看红叶。",
        "弟弟喜欢画画，妹妹喜欢唱歌。",
        "晚饭以后，大家一起跑步吧。",
        "我不明白为什么我的手表坏了。",
        "买五个苹果和半斤葡萄，好不好？",
        "夫妻两个人开了一家面包房。",
        "冬天的北风吹得窗户一直响。",
        "没问题，我马上帮你搬沙发。",
        "博物馆门口摆满了白色的花。",
        "木头做的小船慢慢漂过水面。",
        "跑得快不如跑得稳，别摔跤。",
    ),
    "ko": (
        "바람이 불면 파란 풍선이 멀리 날아간다.",
        "아버지는 봄마다 밭에 무와 배추를 심는다.",
        "오늘 밤에 우리 모두 밖에서 별을 보자.",
        "어머니가 부엌에서 맛있는 밥을 만드신다.",
        "비가 오면 우산을 꼭 챙겨 나가세요.",
        "포도와 복숭아를 두 봉지 사 왔어요.",
        "물병을 가방에 넣고 버스를 탔다.",
        "문을 열어 보니 눈이 많이 와 있었다.",
        "우리 마을 앞에는 푸른 바다가 있다.",
        "피아노 소리가 옆방에서 부드럽게 들린다.",
        "왜 아무도 그 물음에 대답하지 못했을까?",
        "배가 부르니 이제 조금 걷고 싶어요.",
        "친구와 함께 박물관 구경을 했습니다.",
        "무엇보다 마음이 편해야 잠이 온다.",
        "월요일부터 수요일까지 휴가를 보낸다.",
    ),
    "ru": (
        "Папа купил маме большой букет белых пионов.",
        "Вечером мы вышли на улицу и увидели полную луну.",
        "Мой брат любит футбол, а я люблю музыку.",
        "Помоги, пожалуйста, открыть эту бутылку воды.",
        "В феврале было мало снега и много ветра.",
        "Бабушка печёт пироги с яблоками и вишней.",
        "Почему поезд опять опаздывает на полчаса?",
        "На мосту фотограф поймал удобный момент.",
        "Во вторник будет новый фильм про войну и мир.",
        "Пусть будет по-вашему, мы поедем автобусом.",
        "У моего соседа умная и весёлая собака.",
        "Мальчик поймал мяч и побежал домой.",
        "Вода в озере была холодной и прозрачной.",
        "Вы не могли бы повторить последнюю фразу?",
        "Мама шьёт пальто, а дочь вяжет шапку.",
    ),
    "nl": (
        "Mijn broer bouwt een boot van oude planken en buizen.",
        "Wij wonen vlak boven een bakker met warm brood.",
        "Papa vergat weer zijn paraplu mee te nemen.",
        "Mag ik even de boter en een beetje peper?",
        "Vijf bomen vielen om door de wind van vrijdag.",
        "Waarom moet de bus altijd op ons wachten?",
        "In de zomer fietsen wij samen naar het museum.",
        "Een mooi boek maakt de avond vaak korter.",
        "Oma pakt bloemen uit en zet ze voor het raam.",
        "Wie vroeg opstaat, vindt buiten nog frisse lucht.",
        "De muziek bij het feest was veel te hard.",
        "Probeer eerst zelf een oplossing te vinden.",
        "Boven op de berg zagen we twee blauwe meren.",
        "Geef me een momentje, ik ben bijna klaar.",
        "Over een uur komt onze familie op bezoek.",
    ),
    "pl": (
        "Mama kupiła pomidory, buraki i pół bochenka chleba.",
        "Wieczorem wyszliśmy popatrzeć na wielki księżyc.",
        "Mój brat lubi filmy, a ja wolę muzykę fortepianową.",
        "Poproszę butelkę wody i kawałek białego sera.",
        "W lutym padał śnieg i wiał bardzo mocny wiatr.",
        "Babcia piecze placek ze śliwkami i wanilią.",
        "Dlaczego autobus znowu się spóźnia o pół godziny?",
        "Pewien fotograf mieszkał blisko mostu.",
        "Możemy pojechać pociągiem albo popłynąć promem.",
        "Proszę powtórzyć ostatnie pytanie trochę głośniej.",
        "Woda w jeziorze była zimna i przejrzysta.",
        "Chłopiec złapał piłkę i pobiegł do domu.",
        "Bogaty kupiec wybudował nowy pałac.",
        "Wiosną pojawiły się pierwsze fiołki i bazie.",
        "Kto pod kim dołki kopie, ten sam w nie wpada.",
    ),
}
"""Sentences by language; the first `HELD_OUT` of each are for scores only."""

_PHONES_OF: dict[str, str] = {
    "p": "P", "b": "B", "m": "M", "ɓ": "B", "β": "B", "ɸ": "F", "f": "F", "v": "V", "ʋ": "V", "ɱ": "M",
    "pf": "P F", "θ": "TH", "ð": "DH", "t": "T", "d": "D", "n": "N", "l": "L", "ɫ": "L", "ɾ": "D", "r": "L",
    "ɬ": "L", "ɭ": "L", "ɽ": "D", "ʈ": "T", "ɖ": "D", "ɳ": "N", "s": "S", "z": "Z", "ts": "T S", "dz": "D Z",
    "tʃ": "CH", "dʒ": "JH", "ʃ": "SH", "ʒ": "ZH", "ɕ": "S", "ʑ": "Z", "tɕ": "T S", "dʑ": "D Z", "tS": "CH",
    "ʂ": "SH", "ʐ": "ZH", "tʂ": "CH", "dʐ": "JH", "k": "K", "g": "G", "ɡ": "G", "c": "K", "ɟ": "G", "q": "K",
    "x": "K", "ɣ": "G", "χ": "K", "ʁ": "G", "ʀ": "G", "ç": "Y", "ʝ": "Y", "h": "HH", "ɦ": "HH", "ħ": "HH",
    "ʔ": "HH", "ŋ": "NG", "ɴ": "NG", "ɲ": "N", "ʎ": "L", "j": "Y", "w": "W", "ʍ": "W", "ɥ": "W", "ɰ": "G",
    "ɹ": "R", "ɻ": "R", "ʕ": "G", "i": "IY", "ɪ": "IH", "ɨ": "IH", "ᵻ": "IH", "ɯ": "IH", "e": "EY", "ɛ": "EH",
    "æ": "AE", "a": "AA", "ɑ": "AA", "ɐ": "AH", "ʌ": "AH", "ə": "AH", "ɘ": "AH", "ɜ": "AH", "ɤ": "AH",
    "ɚ": "ER", "ɝ": "ER", "ɒ": "AO", "ɔ": "AO", "o": "OW", "u": "UW", "ʊ": "UH", "ʉ": "UW", "y": "UW",
    "ʏ": "UH", "ø": "OW", "œ": "AO", "ɵ": "OW", "ɞ": "AO", "aɪ": "AY", "aʊ": "AW", "eɪ": "EY", "oʊ": "OW",
    "əʊ": "OW", "ɔɪ": "OY", "iə": "IY AH", "ɯᵝ": "UH", "ai": "AY", "ei": "EY", "ɑu": "AW", "au": "AW",
    "ou": "OW", "əl": "AH L", "ər": "ER", "ɔø": "OY", "tsh": "T S", "ph": "P", "th": "T", "kh": "K", "ε": "EH",
}  # fmt: skip
"""What each phoneme looks like, as ARPABET phones."""

_IGNORED = set("ˈˌːˑ.-ʲʰʷˠˤ̃‿̯͡ᵝ~ʼ0123456789'\"`^|;* ") | {"\u0361", "\u032f", "\u0303", "\u0329", "\u0325"}


_ELSEWHERE: dict[tuple[str, str], str] = {("ru", "y"): "IH"}
"""Letters by which espeak-ng means another sound in one language."""


def phones_of(phoneme: str, language: str = "") -> list[str]:
    """ARPABET phones that look like one phoneme of a language, none for a mere sign of length or stress.

    Raises:
        SignalError: the phoneme has a letter that is not in the table.
    """
    phoneme = phoneme.lstrip("ˈˌ")
    if (language, phoneme) in _ELSEWHERE:
        return _ELSEWHERE[language, phoneme].split()
    if phoneme in _PHONES_OF:
        return _PHONES_OF[phoneme].split()
    plain = unicodedata.normalize("NFD", phoneme.replace("ç", "\0"))
    letters = "".join(
        "ç" if letter == "\0" else letter
        for letter in plain
        if letter not in _IGNORED and not unicodedata.combining(letter)
    )
    out, at = [], 0
    while at < len(letters):
        length = next((size for size in (3, 2, 1) if letters[at : at + size] in _PHONES_OF), 0)
        if not length:
            raise SignalError(
                f"the phoneme {phoneme!r} is not in the table of {len(_PHONES_OF)}; add what it looks like."
            )
        out += _PHONES_OF[letters[at : at + length]].split()
        at += length
    return out


def timed_phones(events: Sequence[tuple[float, str]], seconds: float, language: str = "") -> list[Phone]:
    """Phones with start and end from the beginnings of phonemes, as espeak-ng reports them; a pause is SIL.

    Args:
        events: start in seconds and phoneme, "" for a pause; p, t and k are reported at their burst.
        seconds: where the last one ends.
        language: whose phonemes they are.
    """
    names: list[str] = []
    edges: list[list[float]] = []
    for (start, phoneme), (end, _) in pairwise([*events, (seconds, "")]):
        parts = phones_of(phoneme, language) if phoneme else ["SIL"]
        if not parts and edges:
            edges[-1][1] = end
        for index, name in enumerate(parts):
            names.append(name)
            edges.append([start + (end - start) * at / len(parts) for at in (index, index + 1)])
    for index in range(1, len(names)):
        before, here = edges[index - 1], edges[index]
        if here[1] - here[0] < LEAST_S and names[index] != "SIL":
            here[0] = before[1] = (before[0] + here[1]) / 2
        if names[index] in {"P", "T", "K"}:
            share = 1.0 if names[index - 1] == "SIL" else 0.5
            here[0] = before[1] = max(before[0], here[0] - min(CLOSURE_S, share * (before[1] - before[0])))
    return [(name, start, end) for name, (start, end) in zip(names, edges, strict=True) if end - start > 0.005]
