//! Names of people. The lists are the project's own: given names and surnames that are in use and uncommon, put
//! together at random. They are taken from no collection.

use super::SuggestError;
use super::choice::Choice;

/// Given names and surnames in one script.
struct NameList {
    script: Script,
    given: &'static [&'static str],
    family: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    /// Latin letters without marks.
    Ascii,
    /// Latin letters, some with marks.
    Latin,
    Cyrillic,
    Greek,
    Hebrew,
    Arabic,
    Devanagari,
    Han,
    Kana,
    Hangul,
}

const LISTS: [NameList; 10] = [
    NameList {
        script: Script::Ascii,
        given: &[
            "Ottilie",
            "Leopold",
            "Marit",
            "Benedek",
            "Isaura",
            "Tancred",
            "Solveig",
            "Ludovic",
            "Henrike",
            "Casimir",
            "Odette",
            "Florian",
            "Ragnhild",
            "Emeric",
            "Philippa",
            "Torben",
            "Jolanda",
            "Anselm",
            "Birgitta",
            "Cosmo",
            "Delphine",
            "Evander",
            "Gwendolen",
            "Hartwig",
            "Ilka",
            "Joachim",
            "Katrijn",
            "Lorcan",
            "Mirela",
            "Nikolaus",
            "Orsolya",
            "Perpetua",
            "Quentin",
            "Rosalind",
            "Sigurd",
            "Tamsin",
            "Ulrike",
            "Valentin",
            "Wilfried",
            "Zdenka",
        ],
        family: &[
            "Brandvold",
            "Halvorsen",
            "Szalay",
            "Ostrander",
            "Kettering",
            "Vandermolen",
            "Lindqvist",
            "Quist",
            "Rademaker",
            "Thornbury",
            "Wexford",
            "Albrechtsen",
            "Boscombe",
            "Czerny",
            "Delacourt",
            "Eskildsen",
            "Falkenrath",
            "Greenhalgh",
            "Haverkamp",
            "Ingersoll",
            "Jankovic",
            "Kowalczuk",
            "Langridge",
            "Meerbeek",
            "Nordahl",
            "Oosterhuis",
            "Pemberwick",
            "Rossetter",
            "Sandoval",
            "Tennfjord",
            "Uhlmann",
            "Vasarely",
            "Winterbourne",
            "Yarborough",
            "Zimmerle",
            "Drummond",
            "Fennimore",
            "Gundersen",
            "Hollander",
            "Moravec",
        ],
    },
    NameList {
        script: Script::Latin,
        given: &[
            "Zoltán", "Märta", "Éloïse", "Søren", "Ágota", "Jürgen", "Zélie", "Bára", "Þóra", "Ödön",
            "Renée", "Göran", "Sólrún", "Łucja", "Iñaki", "Ximène", "Håkon", "Chloë", "Béla", "Frøydis",
        ],
        family: &[
            "Kőszegi",
            "Bergström",
            "Véliz",
            "Sørlie",
            "Hájková",
            "Grünewald",
            "Lefèvre",
            "Ångström",
            "Zúñiga",
            "Þorvaldsson",
            "Brånemark",
            "Żeleński",
            "Quiñónez",
            "Dvořáček",
            "Mörike",
            "Sæther",
            "Büchli",
            "Núriel",
            "Böttger",
            "Ferreirão",
        ],
    },
    NameList {
        script: Script::Cyrillic,
        given: &[
            "Арсений",
            "Василиса",
            "Захар",
            "Кира",
            "Лукьян",
            "Мирон",
            "Пелагея",
            "Савелий",
            "Таисия",
            "Фёдор",
            "Злата",
            "Остап",
            "Радмила",
            "Стоян",
            "Цветана",
        ],
        family: &[
            "Белозёр",
            "Вересень",
            "Гончарук",
            "Доброволь",
            "Журавель",
            "Заречнюк",
            "Калинюк",
            "Липатюк",
            "Мельничук",
            "Надеждич",
            "Остроухо",
            "Полевич",
            "Рябинич",
            "Снегирь",
            "Тихомир",
        ],
    },
    NameList {
        script: Script::Greek,
        given: &[
            "Αριάδνη",
            "Βασίλης",
            "Δανάη",
            "Ευγενία",
            "Ζήσης",
            "Θάλεια",
            "Ιάσων",
            "Κλειώ",
            "Λέανδρος",
            "Μυρτώ",
            "Ορέστης",
            "Πηνελόπη",
        ],
        family: &[
            "Αργυρίου",
            "Βλάσση",
            "Γαλάνη",
            "Δρόσου",
            "Ζερβού",
            "Καλλίνη",
            "Λάσκαρη",
            "Μαυρίδου",
            "Νομικού",
            "Ράλλη",
            "Σκούρτη",
            "Φωκά",
        ],
    },
    NameList {
        script: Script::Hebrew,
        given: &["אביטל", "ברוריה", "גדעון", "הדסה", "יפתח", "כרמית", "נועם", "עפרה", "צפריר", "תרצה"],
        family: &[
            "אלקושי",
            "ברזילי",
            "גלבוע",
            "חרמוני",
            "כרמלי",
            "לבנון",
            "סגלוביץ",
            "עמיחי",
            "פלטיאל",
            "שדמון",
        ],
    },
    NameList {
        script: Script::Arabic,
        given: &["أديب", "بسمة", "ثريا", "جمانة", "رائد", "سهيل", "طارق", "غسان", "لميس", "نزار"],
        family: &[
            "الأسيوطي",
            "البستاني",
            "التميمي",
            "الجزائري",
            "الخازن",
            "الرافعي",
            "السمان",
            "العطار",
            "القيرواني",
            "النابلسي",
        ],
    },
    NameList {
        script: Script::Devanagari,
        given: &["अनुराधा", "ईशान", "उर्वशी", "कौशल", "चारुलता", "देवव्रत", "मृणाल", "यशोधरा", "वसुधा", "सौरभ"],
        family: &[
            "अग्निहोत्री",
            "कुलकर्णी",
            "गोस्वामी",
            "चक्रवर्ती",
            "दीक्षित",
            "निगम",
            "पुरोहित",
            "भारद्वाज",
            "वाजपेयी",
            "श्रीवास्तव",
        ],
    },
    NameList {
        script: Script::Han,
        given: &[
            "景行", "静姝", "若木", "思齐", "清越", "怀瑾", "望舒", "令仪", "鹤鸣", "知白", "云舟", "书遥",
        ],
        family: &["裘", "闻", "桑", "聂", "佟", "骆", "祁", "邬", "蔺", "岑", "庾", "隗"],
    },
    NameList {
        script: Script::Kana,
        given: &["しおり", "つむぎ", "あずさ", "ひびき", "かなで", "みずき", "いおり", "なぎさ"],
        family: &[
            "いぬかい",
            "うのさわ",
            "くらもち",
            "しらとり",
            "たけのうち",
            "はぎわら",
            "みなせ",
            "よこぜき",
        ],
    },
    NameList {
        script: Script::Hangul,
        given: &["가온", "나래", "다솜", "라온", "마루", "보람", "새롬", "아라", "초롱", "하람"],
        family: &["남궁", "독고", "황보", "제갈", "선우", "탁", "봉", "표", "옥", "빈"],
    },
];

/// Parts between names that many people share, which stay as they are.
const PARTICLES: [&str; 22] = [
    "de", "del", "della", "di", "da", "dos", "das", "do", "la", "le", "van", "von", "der", "den", "ter",
    "zu", "af", "av", "bin", "ibn", "al", "y",
];

/// A name with the parts, the script and the case of another one.
pub(super) fn make_name(shape: &str, choice: &mut Choice) -> Result<String, SuggestError> {
    let parts: Vec<&str> = shape.split_whitespace().collect();
    let names = parts.iter().filter(|part| !is_particle(part)).count();
    if names == 0 {
        return Err(SuggestError::OtherShape(super::FakeKind::Name));
    }
    let mut used: Vec<&str> = Vec::new();
    let mut made = Vec::with_capacity(parts.len());
    let mut number = 0;
    for part in parts {
        if is_particle(part) {
            made.push(part.to_owned());
            continue;
        }
        number += 1;
        let is_family = number == names && names > 1;
        made.push(make_part(part, is_family, choice, &mut used)?);
    }
    Ok(made.join(" "))
}

/// A name in Latin letters without marks, in small letters.
pub(super) fn make_plain(is_family: bool, choice: &mut Choice) -> String {
    let list = &LISTS[0];
    choice.pick(if is_family { list.family } else { list.given }).to_lowercase()
}

fn is_particle(part: &str) -> bool {
    PARTICLES.contains(&part.to_lowercase().trim_end_matches('.'))
}

/// One part: each piece between hyphens and apostrophes becomes a name, an initial an initial.
fn make_part(
    part: &str,
    is_family: bool,
    choice: &mut Choice,
    used: &mut Vec<&'static str>,
) -> Result<String, SuggestError> {
    let mut made = String::new();
    let mut piece = String::new();
    for character in part.chars().chain(['\0']) {
        if character.is_alphabetic() || is_mark(character) {
            piece.push(character);
            continue;
        }
        if !piece.is_empty() {
            let list = list_for(&piece).ok_or(SuggestError::UnknownScript)?;
            made.push_str(&make_piece(&piece, is_family, list, choice, used));
            piece.clear();
        }
        if character != '\0' {
            made.push(character);
        }
    }
    Ok(made)
}

fn make_piece(
    piece: &str,
    is_family: bool,
    list: &NameList,
    choice: &mut Choice,
    used: &mut Vec<&'static str>,
) -> String {
    let length = piece.chars().count();
    // Han and Hangul without a blank are a surname with a given name.
    if matches!(list.script, Script::Han | Script::Hangul) {
        let whole = format!("{}{}", choice.pick(list.family), choice.pick(list.given));
        return if length > 2 { whole } else { choice.pick(list.given).to_owned() };
    }
    let mut name = choice.pick(if is_family { list.family } else { list.given });
    // Two parts of a name are two names.
    for _ in 0..8 {
        if !used.contains(&name) {
            break;
        }
        name = choice.pick(if is_family { list.family } else { list.given });
    }
    used.push(name);
    match () {
        () if length == 1 => name.chars().next().map(String::from).unwrap_or_default(),
        () if piece.chars().all(char::is_lowercase) => name.to_lowercase(),
        () if piece.chars().all(char::is_uppercase) => name.to_uppercase(),
        () => name.to_owned(),
    }
}

fn list_for(piece: &str) -> Option<&'static NameList> {
    let script = piece.chars().find_map(script_of)?;
    let has_marks = script == Script::Ascii && !piece.is_ascii();
    let script = if has_marks { Script::Latin } else { script };
    LISTS.iter().find(|list| list.script == script)
}

const fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36F}' | '\u{591}'..='\u{5C7}' | '\u{610}'..='\u{65F}' | '\u{93A}'..='\u{94D}')
}

const fn script_of(c: char) -> Option<Script> {
    Some(match c {
        'a'..='z' | 'A'..='Z' => Script::Ascii,
        '\u{C0}'..='\u{24F}' | '\u{1E00}'..='\u{1EFF}' => Script::Latin,
        '\u{370}'..='\u{3FF}' | '\u{1F00}'..='\u{1FFF}' => Script::Greek,
        '\u{400}'..='\u{52F}' => Script::Cyrillic,
        '\u{590}'..='\u{5FF}' => Script::Hebrew,
        '\u{600}'..='\u{6FF}' => Script::Arabic,
        '\u{900}'..='\u{97F}' => Script::Devanagari,
        '\u{3040}'..='\u{30FF}' => Script::Kana,
        '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' => Script::Han,
        '\u{AC00}'..='\u{D7A3}' => Script::Hangul,
        _ => return None,
    })
}
