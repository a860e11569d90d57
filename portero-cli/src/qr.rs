//! A QR code for a terminal: two modules per character, black on white whatever the terminal's colours are.

use portero::secret::Secret;
use qrcode::{Color, EcLevel, QrCode};

/// The border in modules. The standard asks for four; two are enough for cameras and fit 24 lines.
const QUIET_ZONE: usize = 2;
/// Black on white, from the part of the 256 colours that themes don't change.
const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
const RESET_STYLE: &str = "\x1b[0m";

/// The code of a text, line by line; none if the text is too long.
pub(crate) fn render_lines(text: &Secret) -> Option<Vec<String>> {
    let code = QrCode::with_error_correction_level(text.expose(), EcLevel::L).ok()?;
    let (width, modules) = (code.width(), code.to_colors());
    let is_dark = |column: usize, row: usize| {
        let (Some(column), Some(row)) = (column.checked_sub(QUIET_ZONE), row.checked_sub(QUIET_ZONE)) else {
            return false;
        };
        column < width && row < width && modules[row * width + column] == Color::Dark
    };
    let whole = width + 2 * QUIET_ZONE;
    let line = |row: usize| {
        let halves = (0..whole).map(|column| match (is_dark(column, row), is_dark(column, row + 1)) {
            (false, false) => ' ',
            (true, false) => '▀',
            (false, true) => '▄',
            (true, true) => '█',
        });
        format!("{BLACK_ON_WHITE}{}{RESET_STYLE}", halves.collect::<String>())
    };
    Some((0..whole).step_by(2).map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "otpauth://totp/Portero:jane?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Portero";

    /// What a camera sees: each half of a character as a square of pixels.
    fn decode_lines(lines: &[String], light_terminal: bool) -> Vec<String> {
        const PIXELS: usize = 4;
        let rows: Vec<Vec<bool>> = lines
            .iter()
            .flat_map(|line| {
                let shown = line
                    .strip_prefix(BLACK_ON_WHITE)
                    .and_then(|line| line.strip_suffix(RESET_STYLE))
                    .unwrap();
                let half = |dark: [char; 2]| shown.chars().map(|half| dark.contains(&half)).collect();
                [half(['▀', '█']), half(['▄', '█'])]
            })
            .collect();
        let (wide, high) = ((rows[0].len() + 8) * PIXELS, (rows.len() + 8) * PIXELS);
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(wide, high, |x, y| {
            let place = (x / PIXELS).checked_sub(4).zip((y / PIXELS).checked_sub(4));
            let module = place.and_then(|(x, y)| rows.get(y)?.get(x));
            match (module, light_terminal) {
                (Some(true), _) | (None, false) => 0,
                (Some(false), _) | (None, true) => 255,
            }
        });
        image.detect_grids().iter().map(|grid| grid.decode().unwrap().1).collect()
    }

    #[test]
    fn a_camera_reads_it_on_a_light_and_on_a_dark_terminal() {
        let lines = render_lines(&Secret::new(URI)).unwrap();
        assert_eq!(decode_lines(&lines, true), [URI]);
        assert_eq!(decode_lines(&lines, false), [URI]);
    }

    #[test]
    fn it_fits_a_small_terminal() {
        let lines = render_lines(&Secret::new(URI)).unwrap();
        assert!(lines.len() <= 24, "{}", lines.len());
        assert!(lines[0].chars().count() <= 80);
    }
}
