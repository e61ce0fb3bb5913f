//! `strftime` for a moment given as seconds and an offset from UTC, in the C locale.

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    pub unix_seconds: i64,
    pub utc_offset_seconds: i32,
}

struct Fields {
    year: i64,
    month: i64,
    day: i64,
    weekday: i64, // 0 is Sunday
    day_of_year: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

/// The civil calendar from days since 1970-01-01, by eras of 400 years.
fn fields(moment: Moment) -> Fields {
    // Far beyond any clock, and small enough that nothing below overflows.
    let limit = 1_i64 << 45;
    let seconds = moment.unix_seconds.clamp(-limit, limit) + i64::from(moment.utc_offset_seconds);
    let days = seconds.div_euclid(86_400);
    let in_day = seconds.rem_euclid(86_400);
    let shifted = days + 719_468; // days since 0000-03-01
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_from_march + 2) / 153;
    let day = day_from_march - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let before_month = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][(month - 1) as usize];
    Fields {
        year,
        month,
        day,
        weekday: (days + 4).rem_euclid(7),
        day_of_year: before_month + day + i64::from(leap && month > 2),
        hour: in_day / 3600,
        minute: in_day / 60 % 60,
        second: in_day % 60,
    }
}

/// Unknown directives stay as they are, as glibc leaves them.
pub fn strftime(moment: Moment, format: &str) -> String {
    let now = fields(moment);
    let mut out = String::new();
    write(&mut out, &now, moment, format, 0);
    out
}

fn write(out: &mut String, now: &Fields, moment: Moment, format: &str, depth: usize) {
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let mut directive = characters.next();
        let flag = match directive {
            Some(flag @ ('-' | '_' | '0' | '^')) => {
                directive = characters.next();
                Some(flag)
            }
            _ => None,
        };
        let Some(directive) = directive else {
            out.push('%');
            out.extend(flag);
            return;
        };
        write_directive(out, now, moment, directive, flag, depth);
    }
}

fn write_directive(
    out: &mut String,
    now: &Fields,
    moment: Moment,
    directive: char,
    flag: Option<char>,
    depth: usize,
) {
    let number = |out: &mut String, value: i64, width: usize, pad: char| {
        let text = match flag.unwrap_or(pad) {
            '-' => value.to_string(),
            '_' | ' ' => format!("{value:>width$}"),
            _ => format!("{value:0>width$}"),
        };
        out.push_str(&text);
    };
    let word = |out: &mut String, text: &str| {
        if flag == Some('^') {
            out.push_str(&text.to_uppercase());
        } else {
            out.push_str(text);
        }
    };
    let hour12 = if now.hour % 12 == 0 { 12 } else { now.hour % 12 };
    let weekday = DAYS[now.weekday as usize];
    let month = MONTHS[(now.month - 1) as usize];
    let monday_based = (now.weekday + 6) % 7;
    match directive {
        'Y' => number(out, now.year, 1, '0'),
        'C' => number(out, now.year.div_euclid(100), 2, '0'),
        'y' => number(out, now.year.rem_euclid(100), 2, '0'),
        'm' => number(out, now.month, 2, '0'),
        'd' => number(out, now.day, 2, '0'),
        'e' => number(out, now.day, 2, ' '),
        'H' => number(out, now.hour, 2, '0'),
        'k' => number(out, now.hour, 2, ' '),
        'I' => number(out, hour12, 2, '0'),
        'l' => number(out, hour12, 2, ' '),
        'M' => number(out, now.minute, 2, '0'),
        'S' => number(out, now.second, 2, '0'),
        'j' => number(out, now.day_of_year, 3, '0'),
        'w' => number(out, now.weekday, 1, '0'),
        'u' => number(out, monday_based + 1, 1, '0'),
        'U' => number(out, (now.day_of_year + 6 - now.weekday) / 7, 2, '0'),
        'W' => number(out, (now.day_of_year + 6 - monday_based) / 7, 2, '0'),
        's' => number(out, moment.unix_seconds, 1, '0'),
        'f' => out.push_str("000000"),
        'A' => word(out, weekday),
        'a' => word(out, &weekday[..3]),
        'B' => word(out, month),
        'b' | 'h' => word(out, &month[..3]),
        'p' => word(out, if now.hour < 12 { "AM" } else { "PM" }),
        'P' => word(out, if now.hour < 12 { "am" } else { "pm" }),
        'n' => out.push('\n'),
        't' => out.push('\t'),
        '%' => out.push('%'),
        // The time is local and naive, and Python prints nothing for a naive time's zone.
        'z' | 'Z' => {}
        _ => match composite(directive).filter(|_| depth == 0) {
            Some(format) => write(out, now, moment, format, depth + 1),
            None => {
                out.push('%');
                out.extend(flag);
                out.push(directive);
            }
        },
    }
}

fn composite(directive: char) -> Option<&'static str> {
    Some(match directive {
        'D' | 'x' => "%m/%d/%y",
        'F' => "%Y-%m-%d",
        'T' | 'X' => "%H:%M:%S",
        'R' => "%H:%M",
        'r' => "%I:%M:%S %p",
        'c' => "%a %b %e %H:%M:%S %Y",
        _ => return None,
    })
}
