//! Checks signatures on P-256 where there is no assembly for it: in a tab, where nothing else takes as long in a round.
//!
//! `p256` does arithmetic of 64-bit words in constant time, which on a 32-bit machine is several times the work. Here
//! nothing is secret, and so both products of a signature's equation are found in one pass, in words of 32 bits.

use p256::ecdsa::{Signature, VerifyingKey};
use p256::elliptic_curve::ops::{Invert, Reduce};
use p256::{FieldBytes, Scalar, U256};

/// Words of a number, least first.
type Words = [u32; 8];

/// The field's modulus, 2²⁵⁶ − 2²²⁴ + 2¹⁹² + 2⁹⁶ − 1.
const MODULUS: Words = [!0, !0, !0, 0, 0, 0, 1, !0];

/// 2⁵¹² in the field, by which a number is brought into Montgomery's form.
const SQUARE_OF_RADIX: Words = [3, 0, !0, 0xffff_fffb, 0xffff_fffe, !0, 0xffff_fffd, 4];

/// The order of the group.
const ORDER: Words =
    [0xfc63_2551, 0xf3b9_cac2, 0xa717_9e84, 0xbce6_faad, 0xffff_ffff, 0xffff_ffff, 0x0000_0000, 0xffff_ffff];

/// The generator's coordinates.
const GENERATOR: [Words; 2] = [
    [0xd898_c296, 0xf4a1_3945, 0x2deb_33a0, 0x7703_7d81, 0x63a4_40f2, 0xf8bc_e6e5, 0xe12c_4247, 0x6b17_d1f2],
    [0x37bf_51f5, 0xcbb6_4068, 0x6b31_5ece, 0x2bce_3357, 0x7c0f_9e16, 0x8ee7_eb4a, 0xfe1a_7f9b, 0x4fe3_42e2],
];

/// Odd multiples in a table: of 1, 3, …, 15.
const ODD: usize = 8;

/// Digits of a scalar: one more than it has bits, since the last may carry.
const DIGITS: usize = 257;

/// Whether the key made the signature over a message with this SHA-256.
pub(crate) fn is_signed(key: &VerifyingKey, hash: &FieldBytes, signature: &Signature) -> bool {
    let (r, s) = signature.split_scalars();
    let Some(inverse) = Option::<Scalar>::from(s.as_ref().invert_vartime()) else { return false };
    let hash = <Scalar as Reduce<U256>>::reduce_bytes(hash);
    let [by_generator, by_key] =
        [hash * inverse, *r.as_ref() * inverse].map(|scalar| words(&scalar.to_bytes()));
    let generator = GENERATOR.map(Element::new);
    let key = key.to_encoded_point(false);
    let (Some(x), Some(y)) = (key.x(), key.y()) else { return false };
    let key = [x, y].map(|coordinate| Element::new(words(coordinate)));
    let point = sum_of_products(&by_generator, generator, &by_key, key);
    has_coordinate(&point, &words(&r.to_bytes()))
}

/// Whether a point's first coordinate is `r` modulo the group's order.
fn has_coordinate(point: &Point, r: &Words) -> bool {
    if point.is_infinite() {
        return false;
    }
    let square = point.z.square();
    let is = |x: &Words| Element::new(*x).times(&square) == point.x;
    let (more, carry) = sum(r, &ORDER);
    is(r) || carry == 0 && is_less(&more, &MODULUS) && is(&more)
}

/// `a`·P + `b`·Q.
fn sum_of_products(a: &Words, p: [Element; 2], b: &Words, q: [Element; 2]) -> Point {
    let [a, b] = [(a, p), (b, q)]
        .map(|(scalar, [x, y])| (digits(scalar), odd_multiples(Point { x, y, z: Element::ONE })));
    let mut total = Point::INFINITY;
    for place in (0..DIGITS).rev() {
        total = total.double();
        for (digits, multiples) in [&a, &b] {
            let digit = digits.get(place).copied().unwrap_or_default();
            if let Some(multiple) =
                multiples.get(usize::from(digit.unsigned_abs()) / 2).filter(|_| digit != 0)
            {
                total = total.plus(&if digit < 0 { multiple.negative() } else { *multiple });
            }
        }
    }
    total
}

/// A point times 1, 3, …, 15.
fn odd_multiples(point: Point) -> [Point; ODD] {
    let twice = point.double();
    let mut next = point;
    core::array::from_fn(|place| {
        if place > 0 {
            next = next.plus(&twice);
        }
        next
    })
}

/// A scalar as digits that are 0 or odd, from −15 to 15, of which no more than one in five is not 0.
fn digits(scalar: &Words) -> [i8; DIGITS] {
    let mut rest = [0_u32; 9];
    if let Some(low) = rest.first_chunk_mut::<8>() {
        *low = *scalar;
    }
    let mut digits = [0; DIGITS];
    for digit in &mut digits {
        let low = rest[0] & 31;
        if low & 1 == 1 {
            // What is taken away, or added, leaves the last five bits 0.
            *digit = if low < 16 { low as i8 } else { low as i8 - 32 };
            rest[0] -= low;
            let mut carry = if low < 16 { 0 } else { 32 };
            for word in &mut rest {
                let (low, high) = wide(u64::from(*word) + carry);
                (*word, carry) = (low, u64::from(high));
            }
        }
        let mut above = 0;
        for word in rest.iter_mut().rev() {
            (*word, above) = (*word >> 1 | above << 31, *word & 1);
        }
    }
    digits
}

/// A point in Jacobian coordinates; z is 0 at infinity.
#[derive(Clone, Copy)]
struct Point {
    x: Element,
    y: Element,
    z: Element,
}

impl Point {
    const INFINITY: Self = Self { x: Element::ONE, y: Element::ONE, z: Element::ZERO };

    fn is_infinite(&self) -> bool {
        self.z == Element::ZERO
    }

    fn negative(&self) -> Self {
        Self { y: Element::ZERO.minus(&self.y), ..*self }
    }

    /// dbl-2001-b of the Explicit-Formulas Database.
    fn double(&self) -> Self {
        if self.is_infinite() {
            return *self;
        }
        let (delta, gamma) = (self.z.square(), self.y.square());
        let beta = self.x.times(&gamma);
        let alpha = self.x.minus(&delta).times(&self.x.plus(&delta));
        let alpha = alpha.plus(&alpha).plus(&alpha);
        let beta_4 = beta.twice().twice();
        let x = alpha.square().minus(&beta_4.twice());
        let z = self.y.plus(&self.z).square().minus(&gamma).minus(&delta);
        let y = alpha.times(&beta_4.minus(&x)).minus(&gamma.square().twice().twice().twice());
        Self { x, y, z }
    }

    /// add-1998-cmo-2 of the Explicit-Formulas Database.
    fn plus(&self, other: &Self) -> Self {
        if self.is_infinite() {
            return *other;
        }
        if other.is_infinite() {
            return *self;
        }
        let (z1, z2) = (self.z.square(), other.z.square());
        let (u1, u2) = (self.x.times(&z2), other.x.times(&z1));
        let s1 = self.y.times(&other.z).times(&z2);
        let s2 = other.y.times(&self.z).times(&z1);
        let (h, r) = (u2.minus(&u1), s2.minus(&s1));
        if h == Element::ZERO {
            return if r == Element::ZERO { self.double() } else { Self::INFINITY };
        }
        let h2 = h.square();
        let h3 = h2.times(&h);
        let v = u1.times(&h2);
        let x = r.square().minus(&h3).minus(&v.twice());
        let y = r.times(&v.minus(&x)).minus(&s1.times(&h3));
        Self { x, y, z: h.times(&self.z).times(&other.z) }
    }
}

/// A number of the field, times 2²⁵⁶ (Montgomery's form), below the modulus.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Element(Words);

impl Element {
    const ZERO: Self = Self([0; 8]);
    const ONE: Self = Self([1, 0, 0, !0, !0, !0, 0xffff_fffe, 0]);

    fn new(words: Words) -> Self {
        Self(words).times(&Self(SQUARE_OF_RADIX))
    }

    fn plus(&self, other: &Self) -> Self {
        let (words, carry) = sum(&self.0, &other.0);
        Self(reduced(words, carry))
    }

    fn twice(&self) -> Self {
        self.plus(self)
    }

    fn minus(&self, other: &Self) -> Self {
        let (words, borrow) = difference(&self.0, &other.0);
        Self(if borrow { sum(&words, &MODULUS).0 } else { words })
    }

    fn square(&self) -> Self {
        self.times(self)
    }

    /// The product, divided by 2²⁵⁶, word by word.
    fn times(&self, other: &Self) -> Self {
        let [b0, b1, b2, b3, b4, b5, b6, b7] = other.0;
        let [mut t0, mut t1, mut t2, mut t3, mut t4, mut t5, mut t6, mut t7, mut t8] = [0_u32; 9];
        for a in self.0 {
            let mut carry = 0;
            let s0 = step(t0, a, b0, &mut carry);
            let s1 = step(t1, a, b1, &mut carry);
            let s2 = step(t2, a, b2, &mut carry);
            let s3 = step(t3, a, b3, &mut carry);
            let s4 = step(t4, a, b4, &mut carry);
            let s5 = step(t5, a, b5, &mut carry);
            let s6 = step(t6, a, b6, &mut carry);
            let s7 = step(t7, a, b7, &mut carry);
            let (s8, s9) = wide(u64::from(t8) + carry);
            // The modulus times the least word is added, which makes that 0; the two above it stay as they are, since the
            // modulus is 2⁹⁶ − 1 in its three least words.
            carry = u64::from(s0);
            (t0, t1) = (s1, s2);
            t2 = step(s3, 0, 0, &mut carry);
            t3 = step(s4, 0, 0, &mut carry);
            t4 = step(s5, 0, 0, &mut carry);
            t5 = step(s6, s0, 1, &mut carry);
            t6 = step(s7, s0, !0, &mut carry);
            let (low, high) = wide(u64::from(s8) + carry);
            (t7, t8) = (low, s9 + high);
        }
        Self(reduced([t0, t1, t2, t3, t4, t5, t6, t7], t8))
    }
}

/// `t` + `a`·`b` + carry: the low word of it, and the high one as the next carry.
#[inline(always)]
fn step(t: u32, a: u32, b: u32, carry: &mut u64) -> u32 {
    let (low, high) = wide(u64::from(t) + u64::from(a) * u64::from(b) + *carry);
    *carry = u64::from(high);
    low
}

/// The low and the high word.
#[expect(clippy::cast_possible_truncation, reason = "that is what it is for")]
#[inline(always)]
const fn wide(number: u64) -> (u32, u32) {
    (number as u32, (number >> 32) as u32)
}

/// A number below twice the modulus, with the word above it, brought below the modulus.
fn reduced(words: Words, above: u32) -> Words {
    let (less, borrow) = difference(&words, &MODULUS);
    if above == 0 && borrow { words } else { less }
}

fn sum(a: &Words, b: &Words) -> (Words, u32) {
    let (mut words, mut carry) = (*a, 0);
    for (word, other) in words.iter_mut().zip(b) {
        let (low, high) = wide(u64::from(*word) + u64::from(*other) + carry);
        (*word, carry) = (low, u64::from(high));
    }
    (words, wide(carry).0)
}

/// The difference, and whether it is below 0.
fn difference(a: &Words, b: &Words) -> (Words, bool) {
    let (mut words, mut borrow) = (*a, 0);
    for (word, other) in words.iter_mut().zip(b) {
        let (low, high) = wide(u64::from(*word).wrapping_sub(u64::from(*other)).wrapping_sub(borrow));
        (*word, borrow) = (low, u64::from(high & 1));
    }
    (words, borrow == 1)
}

fn is_less(a: &Words, b: &Words) -> bool {
    difference(a, b).1
}

/// The words of a number that begins with its most significant byte.
fn words(bytes: &FieldBytes) -> Words {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().rev().zip(bytes.chunks_exact(4)) {
        *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    words
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::signature::Verifier;
    use p256::ecdsa::signature::hazmat::PrehashVerifier;
    use p256::elliptic_curve::PrimeField;
    use p256::elliptic_curve::sec1::ToEncodedPoint;
    use p256::{AffinePoint, ProjectivePoint};
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::SigningKey;

    /// What `p256` finds for the same question.
    fn is_signed_by_p256(key: &VerifyingKey, hash: &FieldBytes, signature: &Signature) -> bool {
        key.verify_prehash(hash, signature).is_ok()
    }

    fn scalar(words: &Words) -> Scalar {
        let mut bytes = FieldBytes::default();
        for (bytes, word) in bytes.chunks_exact_mut(4).zip(words.iter().rev()) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        Scalar::from_repr(bytes).unwrap()
    }

    fn coordinates(point: &AffinePoint) -> [Element; 2] {
        let point = point.to_encoded_point(false);
        [point.x().unwrap(), point.y().unwrap()].map(|coordinate| Element::new(words(coordinate)))
    }

    /// Scalars as they come, and those at the ends of words and of the group.
    fn scalars() -> impl Strategy<Value = Scalar> {
        prop_oneof![
            4 => any::<[u8; 32]>().prop_map(|bytes| <Scalar as Reduce<U256>>::reduce_bytes(&bytes.into())),
            1 => (0_u64..40).prop_map(Scalar::from),
            1 => (0_u64..40).prop_map(|few| -Scalar::from(few)),
            1 => (0_usize..256).prop_map(|bit| {
                let mut words = [0; 8];
                words[bit / 32] = 1 << (bit % 32);
                scalar(&words)
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn sums_of_products_are_those_of_p256(a in scalars(), b in scalars(), c in scalars()) {
            let q = (ProjectivePoint::GENERATOR * c).to_affine();
            prop_assume!(c != Scalar::ZERO);
            let [a_words, b_words] = [a, b].map(|scalar| words(&scalar.to_bytes()));
            let found = sum_of_products(&a_words, GENERATOR.map(Element::new), &b_words, coordinates(&q));
            let expected = (ProjectivePoint::GENERATOR * a + ProjectivePoint::from(q) * b).to_affine();
            if bool::from(p256::elliptic_curve::group::prime::PrimeCurveAffine::is_identity(&expected)) {
                prop_assert!(found.is_infinite());
            } else {
                let [x, y] = coordinates(&expected);
                let z2 = found.z.square();
                prop_assert!(x.times(&z2) == found.x);
                prop_assert!(y.times(&z2).times(&found.z) == found.y);
            }
        }

        #[test]
        fn digits_are_the_scalar(value in scalars()) {
            let sum = digits(&words(&value.to_bytes())).iter().rev().fold(Scalar::ZERO, |sum, digit| {
                let magnitude = Scalar::from(u64::from(digit.unsigned_abs()));
                sum + sum + if *digit < 0 { -magnitude } else { magnitude }
            });
            prop_assert_eq!(sum, value);
        }

        #[test]
        fn what_is_signed_is_told_from_what_is_not(seed in any::<[u8; 32]>(), message in any::<[u8; 20]>(), flipped in 0_usize..512) {
            let key = SigningKey::generate(seed);
            let envelope = key.sign(&crate::SessionCertificate { peer: message.to_vec(), issued: 1 }).unwrap();
            // Parts of a true signature, and what becomes of them when a bit is another one.
            let envelope = crate::Envelope::from_bytes(&envelope).unwrap();
            let (_account, key) = crate::AccountId::with_key(envelope.account().as_bytes()).unwrap();
            let signed = crate::signing_bytes::<crate::SessionCertificate>(&envelope.account(), envelope.payload());
            let hash = Sha256::digest(&signed);
            let signature = Signature::from_slice(envelope.signature()).unwrap();
            prop_assert!(key.verify(&signed, &signature).is_ok());
            prop_assert!(is_signed(&key, &hash, &signature));
            let mut bytes = *envelope.signature();
            bytes[flipped / 8] ^= 1 << (flipped % 8);
            if let Ok(signature) = Signature::from_slice(&bytes) {
                prop_assert!(!is_signed(&key, &hash, &signature));
            }
            let mut other = hash;
            other[flipped / 16] ^= 1 << (flipped % 8);
            prop_assert!(!is_signed(&key, &other, &signature));
        }

        #[test]
        fn any_two_numbers_pass_where_they_pass_p256(r in scalars(), s in scalars(), c in 1_u64..9, hash in any::<[u8; 32]>()) {
            let point = (ProjectivePoint::GENERATOR * Scalar::from(c)).to_affine();
            let key = VerifyingKey::from_affine(point).unwrap();
            // A signature that fits by construction: s = (hash + r·c)/k for r the coordinate of k·G.
            let k = s;
            prop_assume!(k != Scalar::ZERO && r != Scalar::ZERO);
            let fitting = (ProjectivePoint::GENERATOR * k).to_affine().to_encoded_point(false);
            let fitting = <Scalar as Reduce<U256>>::reduce_bytes(fitting.x().unwrap());
            let number = <Scalar as Reduce<U256>>::reduce_bytes(&hash.into());
            let fits = (number + fitting * Scalar::from(c)) * k.invert_vartime().unwrap();
            for (r, s) in [(r, s), (fitting, fits)] {
                let Ok(signature) = Signature::from_scalars(r.to_bytes(), s.to_bytes()) else { continue };
                let expected = is_signed_by_p256(&key, &hash.into(), &signature);
                prop_assert_eq!(is_signed(&key, &hash.into(), &signature), expected);
            }
        }
    }

    #[test]
    fn a_sum_at_infinity_is_no_signature() {
        // u·G + v·Q = 0 for Q = G: hash = −r.
        let key = VerifyingKey::from_affine(AffinePoint::GENERATOR).unwrap();
        let (r, s) = (Scalar::from(7_u64), Scalar::from(3_u64));
        let signature = Signature::from_scalars(r.to_bytes(), s.to_bytes()).unwrap();
        assert!(!is_signed(&key, &(-r).to_bytes(), &signature));
    }

    #[test]
    fn constants_are_what_they_are_called() {
        let [x, y] = coordinates(&AffinePoint::GENERATOR);
        assert!(GENERATOR.map(Element::new) == [x, y]);
        assert!(Element::new([1, 0, 0, 0, 0, 0, 0, 0]) == Element::ONE);
        // One less than the order is a scalar, and the order is none.
        let (less, _) = difference(&ORDER, &[1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(scalar(&less) + Scalar::ONE, Scalar::ZERO);
        // The largest number of the field, and its square: (−1)² = 1.
        let (largest, _) = difference(&MODULUS, &[1, 0, 0, 0, 0, 0, 0, 0]);
        assert!(Element::new(largest).square() == Element::ONE);
        assert!(Element::new(largest).plus(&Element::ONE) == Element::ZERO);
    }
}
