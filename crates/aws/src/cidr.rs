//! Ranges of IP addresses: read, held to AWS's rules, compared.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use switchback_engine::operation::ParamError;

/// A range of addresses, without bits of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    address: IpAddr,
    length: u8,
}

impl Cidr {
    /// Reads a range.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (address, length) = text.split_once('/').ok_or_else(|| format!("{text:?} has no prefix length"))?;
        let address = IpAddr::from_str(address).map_err(|_| format!("{text:?} does not begin with an IP address"))?;
        let plain = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
        let length = length.parse::<u8>().ok().filter(|l| plain && *l <= bits(address));
        let length = length.ok_or_else(|| format!("{text:?} does not end with a prefix length"))?;
        let range = Self { address: masked(address, length), length };
        if range.address == address {
            Ok(range)
        } else {
            Err(format!("{text:?} has bits of a host in it; the range is {range}"))
        }
    }

    pub(crate) fn is_v4(self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether they have an address in common.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        let length = self.length.min(other.length);
        self.is_v4() == other.is_v4() && masked(self.address, length) == masked(other.address, length)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

const fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            Ipv4Addr::from_bits(a.to_bits() & mask).into()
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            Ipv6Addr::from_bits(a.to_bits() & mask).into()
        }
    }
}

/// One form for one range, so that two texts can be compared; a text that is no range stays as it is.
pub(crate) fn canonical(text: &str) -> String {
    Cidr::parse(text).map_or_else(|_| text.to_owned(), |range| range.to_string())
}

/// Holds the IPv4 range of a VPC or a subnet to AWS's rules: /16 to /28, no bits of a host.
pub(crate) fn check_block(text: &str, field: &str, errors: &mut Vec<ParamError>) {
    match Cidr::parse(text) {
        Ok(range) if !range.is_v4() => errors.push(ParamError::new(field, format!("{text:?} is not an IPv4 range"))),
        Ok(range) if !(16..=28).contains(&range.length) => {
            errors.push(ParamError::new(field, format!("{text:?} is /{}; AWS takes /16 to /28", range.length)));
        }
        Ok(_) => {}
        Err(why) => errors.push(ParamError::new(field, why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_written() {
        for text in ["10.0.0.0/16", "0.0.0.0/0", "10.1.2.3/32", "::/0", "2600:1f18::/56", "fd00::1/128"] {
            assert_eq!(Cidr::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(canonical("2600:1F18:0:0::/56"), "2600:1f18::/56");
        assert_eq!(canonical("not a range"), "not a range");
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in
            ["", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0/16", "10.0.0.1/16", "::1/0", "x/8"]
        {
            assert!(Cidr::parse(text).is_err(), "{text}");
        }
        assert_eq!(
            Cidr::parse("10.0.1.0/16").unwrap_err(),
            "\"10.0.1.0/16\" has bits of a host in it; the range is 10.0.0.0/16"
        );
    }

    #[test]
    fn ranges_overlap_when_one_holds_the_other() {
        let overlap = |a: &str, b: &str| Cidr::parse(a).unwrap().overlaps(Cidr::parse(b).unwrap());
        assert!(overlap("10.0.0.0/16", "10.0.1.0/24"));
        assert!(overlap("10.0.1.0/24", "10.0.1.0/24"));
        assert!(!overlap("10.0.1.0/24", "10.0.2.0/24"));
        assert!(overlap("0.0.0.0/0", "10.0.2.0/24"));
        assert!(!overlap("0.0.0.0/0", "::/0"));
    }

    #[test]
    fn a_block_is_neither_too_large_nor_too_small() {
        for (text, fine) in [
            ("10.0.0.0/16", true),
            ("10.0.0.0/28", true),
            ("10.0.0.0/15", false),
            ("10.0.0.0/29", false),
            ("fd00::/64", false),
        ] {
            let mut errors = Vec::new();
            check_block(text, "cidr_block", &mut errors);
            assert_eq!(errors.is_empty(), fine, "{text}");
        }
    }
}
